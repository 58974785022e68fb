/** These tests write to every disk that they find: they run in the guest of `testbed vm`, whose disks are all its own, and nowhere else. */
if (process.env['BLK_INTEGRITY_GUEST'] !== '1') {
  throw new Error('the kernel tests run inside the guest alone: blk-integrity testbed vm -- node …');
}
