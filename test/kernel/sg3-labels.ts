/**
 * How sg3_utils words what the decoders say: where it prints a field, by the field's name here. The first group is the value.
 */
export type Labels = Readonly<Record<string, RegExp>>;

/** Of sg_vpd, by the page's code in hexadecimal. */
export const VPD_LABELS = {
  '86': {
    activateMicrocode: /ACTIVATE_MICROCODE=(\d)/,
    guardCheck: /GRD_CHK=(\d)/,
    appCheck: /APP_CHK=(\d)/,
    refCheck: /REF_CHK=(\d)/,
    attentionsTellOverflow: /UASK_SUP=(\d)/,
    groupNumbers: /GROUP_SUP=(\d)/,
    priorities: /PRIOR_SUP=(\d)/,
    headOfQueue: /HEADSUP=(\d)/,
    ordered: /ORDSUP=(\d)/,
    simple: /SIMPSUP=(\d)/,
    writeUncorrectable: /WU_SUP=(\d)/,
    correctionDisabled: /CRD_SUP=(\d)/,
    nonVolatileCache: /NV_SUP=(\d)/,
    volatileCache: /[^N]V_SUP=(\d)/,
    noPiCheck: /NO_PI_CHK=(\d)/,
    multipleIntervals: /P_I_I_SUP=(\d)/,
    clearsAttentions: /LUICLR=(\d)/,
    referrals: /\bR_SUP=(\d)/,
    revertToDefaults: /RTD_SUP=(\d)/,
    releasesSnapshots: /HSSRELEF=(\d)/,
    microcodeFromSeveral: /Multi I_T nexus microcode download=(\d+)/,
    selfTestMinutes: /Extended self-test completion minutes=(\d+)/,
    powerOnActivates: /POA_SUP=(\d)/,
    resetActivates: /HRA_SUP=(\d)/,
    vendorActivates: /VSA_SUP=(\d)/,
    senseLengthMax: /Maximum supported sense data length=(\d+)/,
  },
  b0: {
    writeSameNonZero: /\(WSNZ\): (\d)/,
    compareAndWriteBlocksMax: /Maximum compare and write length: (\d+)/,
    transferGranularity: /Optimal transfer length granularity: (\d+)/,
    transferBlocksMax: /Maximum transfer length: (\d+)/,
    transferBlocksOptimal: /Optimal transfer length: (\d+)/,
    prefetchBlocksMax: /Maximum prefetch transfer length: (\d+)/,
    unmapBlocksMax: /Maximum unmap LBA count: (-?\d+)/,
    unmapDescriptorsMax: /Maximum unmap block descriptor count: (\d+)/,
    unmapGranularity: /Optimal unmap granularity: (\d+)/,
    unmapAligned: /Unmap granularity alignment valid: (\w+)/,
    unmapAlignment: /Unmap granularity alignment: (\d+)/,
    writeSameBlocksMax: /Maximum write same length: (\w+)/,
    atomicBlocksMax: /Maximum atomic transfer length: (\d+)/,
    atomicAlignment: /Atomic alignment: (\d+)/,
    atomicGranularity: /Atomic transfer length granularity: (\d+)/,
    atomicBlocksWithBoundaryMax: /Maximum atomic transfer length with atomic boundary: (\d+)/,
    atomicBoundaryMax: /Maximum atomic boundary size: (\d+)/,
  },
  b1: {
    rotationRate: /(Non-rotating|(?<=Nominal rotation rate: )\d+)/,
    afterBlockErase: /WABEREQ=(\d)/,
    afterCryptoErase: /WACEREQ=(\d)/,
    zoned: /ZONED=(\d)/,
    reassignedReadZeros: /RBWZ=(\d)/,
    backgroundControl: /BOCS=(\d)/,
    fuaBehaviour: /FUAB=(\d)/,
    verifyUnmapped: /VBULS=(\d)/,
    depopulationSeconds: /DEPOPULATION_TIME=(\d+)/,
  },
  b2: {
    unmap: /\(LBPU\): (\d)/,
    writeSame16: /\(LBPWS\): (\d)/,
    writeSame10: /\(LBPWS10\): (\d)/,
    readZeros: /\(LBPRZ\): (\d)/,
    anchor: /\(ANC_SUP\): (\d)/,
    thresholdExponent: /Threshold exponent: (\d+)/,
    group: /\(DP\): (\d)/,
    minimumPercentage: /Minimum percentage: (\d+)/,
    provisioningType: /Provisioning type: (\d)/,
    thresholdPercentage: /Threshold percentage: (\d+)/,
  },
  b4: {
    blockSize: /Logical block length: (\d+)/,
    multipleIntervals: /P_I_I_SUP: (\d)/,
    noPiCheck: /NO_PI_CHK: (\d)/,
    guardCheck: /GRD_CHK: (\d)/,
    appCheck: /APP_CHK: (\d)/,
    refCheck: /REF_CHK: (\d)/,
    type0: /T0PS: (\d)/,
    type1: /T1PS: (\d)/,
    type2: /T2PS: (\d)/,
    type3: /T3PS: (\d)/,
  },
} satisfies Readonly<Record<string, Labels>>;

/** Of sg_inq. */
export const INQUIRY_LABELS: Labels = {
  peripheralQualifier: /PQual=(\d)/,
  peripheralType: /PDT=(\d+)/,
  version: /version=(\w+)/,
  protect: /Protect=(\d)/,
};

/** Of sg_inq, with the blanks that fill them. */
export const INQUIRY_TEXTS: Labels = {
  vendor: /Vendor identification: (.*)/,
  product: /Product identification: (.*)/,
  revision: /Product revision level: (.*)/,
};

/** Of sg_readcap, and of sg_readcap --long. */
export const CAPACITY_10_LABELS: Labels = {
  lastLba: /Last LBA=(\d+)/,
  blockSize: /Logical block length=(\d+)/,
};
export const CAPACITY_16_LABELS: Labels = {
  ...CAPACITY_10_LABELS,
  blocks: /Number of logical blocks=(\d+)/,
  protected: /prot_en=(\d)/,
  protectionCode: /p_type=(\d)/,
  intervalExponent: /p_i_exponent=(\d+)/,
  physicalExponent: /per physical block exponent=(\d+)/,
  lowestAlignedLba: /Lowest aligned LBA=(\d+)/,
  thinProvisioned: /lbpme=(\d)/,
  unmappedReadZeros: /lbprz=(\d)/,
};

/** Of sg_modes, of the header. */
export const MODE_LABELS: Labels = {
  mediumType: /medium type=(\w+)/,
  writeProtected: /WP=(\d)/,
  dpoFua: /DpoFua=(\d)/,
};

const WORDS: Readonly<Record<string, bigint>> = {
  true: 1n,
  false: 0n,
  'Non-rotating': 1n,
  // Of 32 bits, and no limit.
  '-1': 0xffffffffn,
};

/** The number that a label stands before; null where it is not printed. */
export function told(printed: string, label: RegExp): bigint | null {
  const found = label.exec(printed)?.[1];
  return found === undefined ? null : (WORDS[found] ?? BigInt(found));
}
