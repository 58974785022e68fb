/**
 * Names that others chose (files, disks, mount points) may hold bytes that a terminal takes as orders.
 */

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const CONTROL = /[\x00-\x1f\x7f-\x9f]/g;

const code = (character: string) => character.charCodeAt(0).toString(16);

/** One line with every control character (C0, DEL, C1) as `\xHH`: a newline in it too. */
export function printable(line: string): string {
  return line.replace(CONTROL, (character) => `\\x${code(character).padStart(2, '0')}`);
}

/** The same for a text of lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** JSON on one line. JSON itself escapes C0 alone; DEL and C1 can stand in its strings only. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\x7f-\x9f]/g,
    (character) => `\\u${code(character).padStart(4, '0')}`,
  );
}
