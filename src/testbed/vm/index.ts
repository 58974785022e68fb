export { runInVm, type VmOptions, type VmResult } from './run.js';
