/**
 * blk-integrity: T10 protection information (DIF/DIX) on Linux, cross-checked.
 */
export { bioAdvance } from './bio/advance.js';
export { Bio, type BioDevice, type BioOp, type BioOptions } from './bio/bio.js';
export * from './bio/bio-integrity.js';
export { BioSet, biosetIntegrityCreate, biosetIntegrityFree, fsBioSet } from './bio/bioset.js';
export {
  bioIntegrityAddPage,
  bioIntegrityAdvance,
  bioIntegrityAlloc,
  bioIntegrityBytes,
  bioIntegrityClone,
  bioIntegrityFree,
  bioIntegrityHwSectors,
  bioIntegrityIntervals,
  bioIntegrityMarkHead,
  bioIntegrityMarkTail,
  bioIntegritySplit,
  bioIntegrityTrim,
} from './bio/bip.js';
export * from './bio/blk-integrity.js';
export { type BioIterator, type BioVec, bvecsFrom, segmentsFrom } from './bio/bvec.js';
export { type Memory, Mempool, type Piece } from './bio/memory.js';
export { BioIntegrityPayload, type BipFlag, type SavedPosition } from './bio/payload.js';
export * from './bio/semantics.js';
export * from './bio/split.js';
export { BLK_STATUS_ERRNO, type BlkStatus } from './bio/status.js';
export * from './bio/submit.js';
export * from './bio/tags.js';
export { bioIntegrityInit, Workqueue } from './bio/workqueue.js';
export { sendAltering } from './check/altering-command.js';
export { chain, reach } from './check/chain.js';
export { type CommandResult, type RawCommand, requireReadOnly, sendCommand } from './check/command.js';
export { type CrosscheckOptions, crosscheck } from './check/crosscheck.js';
export { mirrorTuples, type WriteMemory } from './check/mirror.js';
export { type ProveOptions, prove } from './check/prove.js';
export { type BlockRange, namedRange, sampleRanges } from './check/ranges.js';
export { type ReadOptions, readBlocks } from './check/read.js';
export { planRead, type ReadPlan, type ReadRequest } from './check/read-plan.js';
export { type ScrubOptions, scrub } from './check/scrub.js';
export type { Sample } from './check/scrub-plan.js';
export {
  planWrite,
  type WriteContent,
  type WritePlan,
  type WriteRequest,
  writeBlocks,
} from './check/write.js';
export { writeCheck } from './check/write-check.js';
export type { Answer, BlocksRead, ProtectedBlocks } from './device/blocks.js';
export { alignedBuffer } from './device/buffers.js';
export { type Disk, type OpenDiskOptions, openDevice } from './device/disk.js';
export type { DiskFacts } from './device/facts.js';
export { type Proof, proveTuplesCross } from './device/proof.js';
export type { BlocksJudged, ReadVerdict } from './device/read-verdict.js';
export { type AlteringCommand, sendHeld } from './device/safeguard/alter.js';
export { type ClaimOptions, claimRegion } from './device/safeguard/claim.js';
export { type TestbedKind, testbedKind } from './device/safeguard/ours.js';
export type { Ownership } from './device/safeguard/permission.js';
export { type Recovery, recover } from './device/safeguard/recover.js';
export type { Region } from './device/safeguard/region.js';
export type { RegionRange, Restored } from './device/safeguard/saved-region.js';
export { type OnCommand, type TracedCommand, traceText } from './device/trace.js';
export type {
  DiskTransport,
  JudgedCommands,
  JudgedReply,
  ScsiCommand,
  ScsiReply,
  ScsiTransport,
} from './device/transport.js';
export { ERROR_CODES, type ErrorCode, IntegrityError, KernelBugError } from './errors.js';
export * from './nvme/identify.js';
export { crc16T10DifCombine, crc64NvmeCombine } from './pi/combine.js';
export { type ConvertOptions, type ConvertResult, convertGuards } from './pi/convert.js';
export { type Diagnosis, type DiagnosisKind, diagnose, type FlippedBit } from './pi/diagnose.js';
export {
  type AppTagRange,
  type BackgroundOptions,
  type CheckedField,
  type CheckOrder,
  defaultEngine,
  type Finding as BadInterval,
  type GenerateOptions,
  type Layout,
  nativeEngine,
  type PiEngine,
  type PreparedGenerate,
  type PreparedVerify,
  plainEngine,
  type VerifyOptions,
  type VerifyResult,
} from './pi/engine.js';
export { crc16T10Dif, crc64Nvme, ipChecksum } from './pi/guard.js';
export { type GuardKernels, guardKernels } from './pi/guard-kernels.js';
export {
  type FaultTarget,
  type InjectedFault,
  type InjectOptions,
  injectFaults,
  undoFaults,
} from './pi/inject.js';
export { deinterleave } from './pi/interleave.js';
export { pinnedBuffer } from './pi/pinned.js';
export * from './pi/profile.js';
export {
  type RemapOptions,
  type RemapResult,
  remapReferenceTags,
  remapReferenceTagsChecked,
} from './pi/remap.js';
export type * from './report/model.js';
export { scrubText } from './report/scrub-text.js';
export { crosscheckTap, proveTap } from './report/tap.js';
export { chainText, crosscheckText, listText, proveText, restoreText } from './report/text.js';
export { commandReportText, readText, writeText } from './report/transfer-text.js';
export { additionalSenseText } from './scsi/additional-sense.js';
export * from './scsi/cdb.js';
export * from './scsi/commands.js';
export {
  type AlteredBlocks,
  type BlockContent,
  type Effect,
  type EffectFormat,
  effectOf,
} from './scsi/effect.js';
export * from './scsi/format-unit.js';
export * from './scsi/inquiry.js';
export * from './scsi/lba-status.js';
export * from './scsi/log-page.js';
export * from './scsi/mode-page.js';
export * from './scsi/outcome.js';
export * from './scsi/read-capacity.js';
export * from './scsi/scattered.js';
export * from './scsi/sense.js';
export * from './scsi/supported-opcodes.js';
export * from './scsi/unmap.js';
export * from './scsi/vpd.js';
export * from './sysfs/disks.js';
export { readSnapshot, type SysfsSnapshot } from './sysfs/snapshot.js';
export { EmulatedDisk, type EmulatedDiskOptions } from './testbed/disk/emulated-disk.js';
export { type Behaviour, CHOICES } from './testbed/disk/model/behaviour.js';
export {
  FAULT_KINDS,
  type Fault,
  type FaultKind,
  type FaultKindName,
  type FaultPlace,
  type FaultSpec,
} from './testbed/disk/model/faults.js';
export type { Format } from './testbed/disk/model/format.js';
export type { LogicalUnit, ScsiTask, ScsiTaskReply } from './testbed/disk/model/logical-unit.js';
export { PRESETS, type Preset } from './testbed/disk/model/presets.js';
export type { DiskStats } from './testbed/disk/model/stats.js';
export { type AttachedUnit, type AttachOptions, attachLogicalUnit } from './testbed/disk/tcmu/attach.js';
export { removeStaleUnits } from './testbed/disk/tcmu/configfs.js';
export type { UnitStats } from './testbed/disk/tcmu/serve.js';
export { fillDisk, pattern } from './testbed/fill.js';
export { createLioFileio, type LioFileioDisk, type LioFileioOptions } from './testbed/lio-fileio.js';
export {
  createScsiDebug,
  removeScsiDebug,
  type ScsiDebugDisk,
  type ScsiDebugOptions,
  scsiDebugDisks,
} from './testbed/scsi-debug.js';
export * from './testbed/vm/index.js';
export * from './words.js';
