/**
 * Loaded into a service by `--import`: answers connections to a socket named by its pid with its memory after a full collection. Resident
 * memory alone says little of what a connection keeps, because V8 and malloc hold on to memory that is free.
 */
import { mkdirSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Environment variable with the folder of the sockets. */
const FOLDER = 'STENO_BENCH_MEMORY';

export interface LiveMemory {
  /** Bytes of objects that are in use, on V8's heap and in buffers. */
  readonly live: number;
  readonly resident: number;
}

/** Environment of services that answer `memoryOf`. */
export function probed(folder: string): NodeJS.ProcessEnv {
  mkdirSync(folder, { recursive: true });
  return { [FOLDER]: folder, NODE_OPTIONS: `--import=${import.meta.url}` };
}

export async function memoryOf(folder: string, pid: number): Promise<LiveMemory> {
  return JSON.parse(await text(connect(socketOf(folder, pid)))) as LiveMemory;
}

function socketOf(folder: string, pid: number): string {
  return join(folder, `${pid}.sock`);
}

const folder = process.env[FOLDER];
if (folder !== undefined) {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    const answer = async (): Promise<void> => {
      // What the first collection finalizes is freed by the second.
      for (let i = 0; i < 2; i++) {
        collect();
        await turn();
      }
      const { heapUsed, external, rss } = process.memoryUsage();
      socket.end(JSON.stringify({ live: heapUsed + external, resident: rss }));
    };
    void answer();
  });
  server.listen(socketOf(folder, process.pid)).unref();
}
