/** The table in docs/mirror.md is the table of the code. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { OPTIONAL_FUNCTIONS, requireFunction, SEMANTICS, type Semantics } from '../../src/bio/semantics.js';
import { errorOf } from '../support/bio.js';

const NO_BEHAVIOUR = ['name', 'since', 'source', 'functions'];

/** A cell as the document has it. */
function cell(value: Semantics[keyof Semantics]): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return Array.isArray(value) ? value.join(', ') || 'none' : String(value);
}

t.test('docs/mirror.md has every column, with every value', async (t) => {
  const text = readFileSync(new URL('../../docs/mirror.md', import.meta.url), 'utf8');
  const lines = text.split('\n').map((line) => line.split('|').map((part) => part.trim()));
  const names = SEMANTICS.map(({ name }) => name);
  t.ok(
    lines.some((parts) => parts.slice(2, -1).join() === names.join()),
    'the kernels, oldest first',
  );
  for (const column of Object.keys(SEMANTICS[0]!) as (keyof Semantics)[]) {
    if (NO_BEHAVIOUR.includes(column)) continue;
    const row = lines.find((parts) => parts[1]?.startsWith(`\`${column}\`: `));
    let before = '';
    const expected = SEMANTICS.map((semantics) => {
      const value = cell(semantics[column]);
      const shown = value === before ? '=' : value;
      before = value;
      return shown;
    });
    t.same(row?.slice(2, -1), expected, column);
  }
});

t.test('functions come and go', async (t) => {
  for (const name of OPTIONAL_FUNCTIONS) {
    const having = SEMANTICS.filter((semantics) => {
      const said = errorOf(() => requireFunction(semantics, name));
      if (said === 'nothing thrown') return true;
      t.match(said, `ERR_OUT_OF_RANGE: Linux ${semantics.name} has no ${name}: it is in `);
      return false;
    }).map((semantics) => semantics.name);
    const expected = {
      bioset: ['3.10-before-fix', '3.10', '4.19', '5.10', '6.1', '6.12'],
      action: ['7.1'],
      other: ['3.10-before-fix', '3.10'],
    }[name.startsWith('bioset') ? 'bioset' : name.endsWith('action') ? 'action' : 'other'];
    t.same(having, expected, name);
  }
});
