export type { NvmeNamespace } from './nvme.js';
export { runInVm, type VmOptions, type VmResult } from './run.js';
