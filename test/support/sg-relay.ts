/** Programs that speak SG_IO, driving a logical unit of this process: native/test/sg_io_relay.cc, preloaded, brings their commands here. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LogicalUnit, ScsiTask } from '../../src/testbed/disk/model/logical-unit.js';

const LIBRARY = fileURLToPath(new URL('../../build/Release/sg_io_relay.node', import.meta.url));
const HEADER_BYTES = 12;

/** A logical unit, or what stands in for one. */
export type TaskTaker = Pick<LogicalUnit, 'execute'>;

export interface Ran {
  readonly status: number;
  /** Standard output and standard error. */
  readonly text: string;
  /** The commands that it sent. */
  readonly tasks: readonly ScsiTask[];
}

export class SgRelay {
  readonly #unit: TaskTaker;
  readonly #server: Server;
  /** Of the socket, whose path must be short. */
  readonly #folder: string;
  #tasks: ScsiTask[] = [];

  private constructor(unit: TaskTaker, folder: string) {
    this.#unit = unit;
    this.#folder = folder;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async listen(unit: TaskTaker): Promise<SgRelay> {
    if (!existsSync(LIBRARY))
      throw new Error(`${LIBRARY} is not built: node scripts/prepare.js native-tests`);
    const relay = new SgRelay(unit, await mkdtemp(join(tmpdir(), 'sg-relay-')));
    relay.#server.listen(relay.#socket);
    await once(relay.#server, 'listening');
    return relay;
  }

  get #socket(): string {
    return join(this.#folder, 'socket');
  }

  async close(): Promise<void> {
    this.#server.close();
    await rm(this.#folder, { recursive: true });
  }

  /** A program with its arguments in one line; `/dev/null` stands for the disk. */
  async run(line: string): Promise<Ran> {
    const [program, ...args] = line.split(' ');
    this.#tasks = [];
    const env = { ...process.env, LD_PRELOAD: LIBRARY, SG_IO_RELAY: this.#socket };
    return await new Promise((resolve, reject) => {
      execFile(program!, args, { env, encoding: 'latin1' }, (error, stdout, stderr) => {
        const status = error === null ? 0 : error.code;
        if (typeof status === 'number') resolve({ status, text: `${stdout}${stderr}`, tasks: this.#tasks });
        else reject(error);
      });
    });
  }

  /** One command: see sg_io_relay.cc. */
  #serve(socket: Socket): void {
    let request: Buffer = Buffer.alloc(0);
    socket.on('data', (more: Buffer) => {
      request = Buffer.concat([request, more]);
      if (request.length < HEADER_BYTES) return;
      const [cdbBytes, dataOutBytes] = [request.readUInt32LE(0), request.readUInt32LE(4)];
      if (request.length < HEADER_BYTES + cdbBytes + dataOutBytes) return;
      const task = {
        cdb: request.subarray(HEADER_BYTES, HEADER_BYTES + cdbBytes),
        dataOut: request.subarray(HEADER_BYTES + cdbBytes),
        dataInMax: request.readUInt32LE(8),
      };
      this.#tasks.push(task);
      const { status, sense, dataIn } = this.#unit.execute(task);
      const header = Buffer.alloc(HEADER_BYTES);
      header.writeUInt32LE(status, 0);
      header.writeUInt32LE(sense.length, 4);
      header.writeUInt32LE(dataIn.length, 8);
      socket.end(Buffer.concat([header, sense, dataIn]));
    });
  }
}
