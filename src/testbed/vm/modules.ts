/** Which kernel modules must be loaded, and in what order, by the index that depmod makes. */

/** `virtio_pci` of `kernel/drivers/virtio/virtio-pci.ko.xz`: the kernel takes - and _ as the same letter. */
const moduleName = (path: string): string =>
  path
    .replace(/^.*\//, '')
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');

export interface LoadOrder {
  /** Module files relative to the modules folder, each after all that it depends on. */
  readonly files: readonly string[];
  /** Wanted modules that are neither files nor built in. */
  readonly missing: readonly string[];
}

/**
 * @param modulesDep text of modules.dep: each line a file, a colon, then *all* files it depends on, the last to be loaded first.
 * @param modulesBuiltin text of modules.builtin: what is in the kernel image already.
 */
export function loadOrder(wanted: readonly string[], modulesDep: string, modulesBuiltin: string): LoadOrder {
  const chains = new Map(
    lines(modulesDep).map((line) => {
      const [file = '', dependencies = ''] = line.split(':');
      const chain = [file, ...dependencies.split(' ').filter((dependency) => dependency !== '')].reverse();
      return [moduleName(file), chain] as const;
    }),
  );
  const builtin = new Set(lines(modulesBuiltin).map(moduleName));
  return {
    files: [...new Set(wanted.flatMap((name) => chains.get(name) ?? []))],
    missing: wanted.filter((name) => !chains.has(name) && !builtin.has(name)),
  };
}
