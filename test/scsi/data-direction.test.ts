import t from 'tap';
import { sendsData } from '../../src/scsi/data-direction.js';
import { bytes } from './hex.js';

// From the CDBs' own clauses in SPC-5 and SBC-4.
t.test('which way the data of a command goes', async (t) => {
  const sending: Readonly<Record<string, string>> = {
    'FORMAT UNIT': '04 00',
    'MODE SELECT(10)': '55 00',
    'WRITE(10)': '2a 20',
    UNMAP: '42 00',
    'COMPARE AND WRITE': '89 00',
    'WRITE(16)': '8a 20',
    'WRITE SAME(16)': '93 00',
    'WRITE SCATTERED(16)': '9f 12',
    'VERIFY(32)': '7f 00 0000 00 00 00 18 000a',
    'WRITE(32)': '7f 00 0000 00 00 00 18 000b',
    'WRITE SCATTERED(32)': '7f 00 0000 00 00 00 18 0011',
  };
  const bringing: Readonly<Record<string, string>> = {
    INQUIRY: '12 00',
    'READ(10)': '28 20',
    'READ CAPACITY(16)': '9e 10',
    'REPORT SUPPORTED OPERATION CODES': 'a3 0c',
    'MODE SENSE(10)': '5a 00',
    'READ(32)': '7f 00 0000 00 00 00 18 0009',
    'a service action of nobody': '7f 00 0000 00 00 00 18 ffff',
    'an opcode of nobody': 'd0',
    'a cut CDB': '7f',
  };
  for (const [name, cdb] of Object.entries(sending)) t.equal(sendsData(bytes(cdb)), true, name);
  for (const [name, cdb] of Object.entries(bringing)) t.equal(sendsData(bytes(cdb)), false, name);
  t.equal(sendsData(new Uint8Array(0)), false);
});
