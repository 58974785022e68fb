/** How QEMU reads the values of its options. */

/** A comma inside a value is written twice. */
export const optionValue = (value: string): string => value.replaceAll(',', ',,');
