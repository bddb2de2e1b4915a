/** Limits that hold for whatever two peers send, agreed with each other or not. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import type { FileFact, Gap } from '#schemas/recording/line.js';
import { earlyPool, listPool } from './observing/budget.js';
import { observeStream } from './protocols.js';
import type { StreamKind, StreamObserver } from './observing/observer.js';
import { seeded } from '../testing/transcript.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const text = (value: string | Buffer): Buffer => Buffer.concat([u32(Buffer.byteLength(value)), Buffer.from(value as string)]);
const packet = (type: number, ...fields: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(fields);
  return Buffer.concat([u32(body.length + 1), Buffer.of(type), body]);
};
const offset = (value: number): Buffer => Buffer.concat([u32(Math.floor(value / 2 ** 32)), u32(value % 2 ** 32)]);
const ok = (id: number): Buffer => packet(101, u32(id), u32(0), text(''), text(''));

function start(kind: StreamKind): { readonly observer: StreamObserver; readonly facts: FileFact[]; readonly gaps: Gap[] } {
  const facts: FileFact[] = [];
  const gaps: Gap[] = [];
  const observer = observeStream(kind, (fact) => {
    if ('gap' in fact) gaps.push(fact.gap);
    else if (facts.length < 200) facts.push(fact);
  })!;
  return { observer, facts, gaps };
}
function startSftp(): ReturnType<typeof start> {
  const started = start({ subsystem: 'sftp', tty: false });
  started.observer.input(packet(1, u32(3)));
  started.observer.output(packet(2, u32(3)));
  return started;
}
/** Bytes of memory, in and outside of the heap, that an observer holds: the mean of eight after the same calls. */
async function held(kind: StreamKind, feed: (observer: StreamObserver) => void): Promise<number> {
  const use = async (): Promise<number> => {
    // Array buffers go some turns after the objects that had them.
    for (let i = 0; i < 4; i++) {
      collect();
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const first = observeStream(kind, () => undefined)!;
  feed(first);
  first.end();
  const before = await use();
  const observers = Array.from({ length: 8 }, () => {
    const observer = observeStream(kind, () => undefined)!;
    feed(observer);
    return observer;
  });
  const after = await use();
  for (const observer of observers) observer.end();
  expect(earlyPool.held).toBe(0);
  return (after - before) / 8;
}

describe('memory of a stream', () => {
  const long = 'p'.repeat(4000);
  const begin = (observer: StreamObserver): void => {
    observer.input(packet(1, u32(3)));
    observer.output(packet(2, u32(3)));
  };
  const open = (observer: StreamObserver, count: number): void => {
    for (let id = 0; id < count; id++) {
      observer.input(packet(3, u32(id), text(`${long}${id}`), u32(3), u32(0)));
      observer.output(packet(102, u32(id), text(`h${id}`)));
    }
  };
  test.each<readonly [string, StreamKind, (observer: StreamObserver) => void]>([
    [
      'SFTP requests without answers',
      { subsystem: 'sftp', tty: false },
      (observer) => {
        begin(observer);
        for (let id = 0; id < 5000; id++) observer.input(packet(18, u32(id), text(`${long}${id}`), text(long)));
      },
    ],
    [
      'SFTP files never closed',
      { subsystem: 'sftp', tty: false },
      (observer) => {
        begin(observer);
        open(observer, 500);
      },
    ],
    [
      'SFTP content out of order',
      { subsystem: 'sftp', tty: false },
      (observer) => {
        begin(observer);
        open(observer, 20);
        // More than a connection may hold, and of no file more than one may.
        for (let id = 100; id < 1300; id++) {
          observer.input(packet(6, u32(id), text(`h${id % 20}`), offset(id * 10_000), text(Buffer.alloc(9000))));
          observer.output(ok(id));
        }
      },
    ],
    [
      'many small pieces out of order',
      { subsystem: 'sftp', tty: false },
      (observer) => {
        begin(observer);
        open(observer, 1);
        for (let id = 100; id < 6000; id++) {
          observer.input(packet(6, u32(id), text('h0'), offset(id * 10), text(Buffer.alloc(1))));
          observer.output(ok(id));
        }
      },
    ],
    [
      'scp directories',
      { command: 'scp -r -t /x', tty: false },
      (observer) => {
        observer.output(Buffer.alloc(1));
        for (let i = 0; i < 2000; i++) {
          observer.input(Buffer.from(`D0755 0 ${'d'.repeat(3000)}\n`));
          observer.output(Buffer.alloc(1));
        }
      },
    ],
    [
      'rsync lists of nothing',
      { command: 'rsync --server -re.iLsfxCIvu . /x', tty: false },
      (observer) => {
        const version = Buffer.of(31, 0, 0, 0);
        observer.input(version);
        observer.output(Buffer.concat([version, Buffer.of(0x80, 0x81), Buffer.from('\u0003md5'), Buffer.alloc(4)]));
        observer.input(Buffer.from('\u0003md5'));
        // The first list is empty; 4000 more say that they are of directory 0: ff 64, then 02 - the index does not change.
        const lists = Buffer.concat([
          Buffer.of(0, 0),
          Buffer.of(0xff, 0x64, 0, 0),
          ...Array.from({ length: 4000 }, () => Buffer.of(0xff, 0xfe, 0, 0, 0, 0)),
        ]);
        observer.input(Buffer.concat([Buffer.of(lists.length & 255, lists.length >> 8, 0, 7), lists]));
      },
    ],
    [
      'git refs',
      { command: 'git-upload-pack /x', tty: false },
      (observer) => {
        for (let i = 0; i < 250; i++) {
          const line = `${String(i).padStart(40, '0')} refs/heads/${i} ${'x'.repeat(60_000)}`;
          observer.output(Buffer.from((line.length + 4).toString(16).padStart(4, '0') + line));
          const want = `want ${String(i).padStart(40, '0')} ${'y'.repeat(60_000)}`;
          observer.input(Buffer.from((want.length + 4).toString(16).padStart(4, '0') + want));
        }
      },
    ],
  ])('%s', async (name, kind, feed) =>
    expect(await held(kind, feed)).toBeLessThan(
      kind.command?.startsWith('rsync') === true ? 3 * 1024 * 1024 : name.endsWith('out of order') ? 9 * 1024 * 1024 : 300 * 1024,
    ),
  );
});

test('a file list larger than its limit is a gap, and the pool is given back', () => {
  const { observer, facts, gaps } = start({ command: 'rsync --server -r . /x', tty: false });
  const int = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    return bytes;
  };
  observer.input(int(29));
  observer.output(Buffer.concat([int(29), int(1)]));
  const name = 'n'.repeat(250);
  for (let i = 0; i < 60_000; i++)
    observer.input(
      Buffer.concat(
        [Buffer.of(0, 255), Buffer.from(`${name}${String(i).padStart(5, '0')}`), int(5), int(0), int(0o100644)].map((part, at) =>
          at === 0 ? Buffer.of(1, 255) : part,
        ),
      ),
    );
  expect(listPool.held).toBe(0);
  observer.input(Buffer.concat([Buffer.of(0), int(0)]));
  const item = Buffer.concat([
    int(0),
    Buffer.of(0, 0x80),
    int(0),
    int(700),
    int(2),
    int(0),
    int(5),
    Buffer.from('hello'),
    int(0),
    Buffer.alloc(16),
  ]);
  observer.input(item);
  observer.input(item);
  observer.input(Buffer.concat([int(-1), int(-1), int(-1)]));
  observer.end();
  expect(facts).toEqual([]);
  expect(gaps.map(({ reason, count }) => [reason, count])).toEqual([
    ['file_operations', 1],
    ['file_operations', 1],
  ]);
});

test('more than 64 open files: the rest is named as opened, counted as a gap, and the first are whole', () => {
  const { observer, facts, gaps } = startSftp();
  for (let id = 0; id < 100; id++) {
    observer.input(packet(3, u32(id), text(`/f${id}`), u32(2 | 8 | 16), u32(0)));
    observer.output(packet(102, u32(id), text(`h${id}`)));
  }
  for (let id = 0; id < 100; id++) {
    observer.input(packet(4, u32(id), text(`h${id}`)));
    observer.output(ok(id));
  }
  observer.end();
  expect(facts.filter((fact) => fact.operation === 'open')).toHaveLength(36);
  expect(facts.filter((fact) => fact.operation === 'write' && fact.sha256 !== undefined)).toHaveLength(64);
  expect(gaps.map((gap) => [gap.reason, gap.count])).toEqual([
    ['file_operations', 1],
    ['file_operations', 35],
  ]);
});

test('a write that the server refuses has no digest', () => {
  const { observer, facts } = startSftp();
  observer.input(packet(3, u32(1), text('/f'), u32(2 | 8 | 16), u32(0)));
  observer.output(packet(102, u32(1), text('h')));
  observer.input(packet(6, u32(2), text('h'), offset(0), text('abc')));
  observer.output(packet(101, u32(2), u32(4), text('No space left\n\u001b[31m'), text('')));
  observer.input(packet(4, u32(3), text('h')));
  observer.output(ok(3));
  observer.end();
  expect(facts).toEqual([
    { fact: 'file', protocol: 'sftp', operation: 'write', path: '/f', size: 3, outcome: 'failure', note: 'No space left [31m' },
  ]);
});

describe('a read that ends where the size does, without an end of file', () => {
  const stat = (observer: StreamObserver, id: number, path: string, size: number): void => {
    observer.input(packet(17, u32(id), text(path)));
    observer.output(packet(105, u32(id), u32(1), offset(size)));
  };
  const read = (observer: StreamObserver, path: string, content: string): void => {
    observer.input(packet(3, u32(50), text(path), u32(1), u32(0)));
    observer.output(packet(102, u32(50), text('h')));
    observer.input(packet(5, u32(51), text('h'), offset(0), u32(content.length)));
    observer.output(packet(103, u32(51), text(content)));
    observer.input(packet(4, u32(52), text('h')));
    observer.output(ok(52));
  };
  const note = (facts: readonly FileFact[]): readonly unknown[] =>
    facts.filter(({ operation }) => operation === 'read').map(({ note: said, sha256 }) => said ?? sha256?.slice(0, 8));
  const abc = 'ba7816bf';

  test('is whole where STAT gave the size of its path, and where a listing did', () => {
    const { observer, facts } = startSftp();
    stat(observer, 1, '/d/../f', 3);
    read(observer, '/f', 'abc');
    observer.input(packet(11, u32(2), text('/d')));
    observer.output(packet(102, u32(2), text('dir')));
    observer.input(packet(12, u32(3), text('dir')));
    const attributes = Buffer.concat([u32(1 | 2 | 4 | 8), offset(3), u32(0), u32(0), u32(0o644), u32(0), u32(0)]);
    observer.output(packet(104, u32(3), u32(2), text('x'), text('-rw-r--r-- x'), u32(0), text('g'), text('-rw-r--r-- g'), attributes));
    read(observer, '/d/g', 'abc');
    read(observer, '/d/x', 'abc');
    observer.end();
    expect(note(facts)).toEqual([abc, abc, 'not read to its end']);
  });

  test('is not where the path was written, renamed to or cut since, or another size was given', () => {
    const { observer, facts } = startSftp();
    for (const path of ['/written', '/target', '/cut', '/longer']) stat(observer, 1, path, path === '/longer' ? 4 : 3);
    observer.input(packet(3, u32(2), text('/written'), u32(2), u32(0)));
    observer.output(packet(102, u32(2), text('w')));
    observer.input(packet(18, u32(3), text('/other'), text('/target')));
    observer.output(ok(3));
    observer.input(packet(9, u32(4), text('/cut'), u32(1), offset(1)));
    observer.output(ok(4));
    for (const path of ['/written', '/target', '/cut', '/longer']) read(observer, path, 'abc');
    observer.end();
    expect(note(facts)).toEqual(Array(4).fill('not read to its end'));
  });
});

test('well-formed packets of random content never throw', () => {
  const random = seeded(11);
  for (let round = 0; round < 60; round++) {
    const { observer } = startSftp();
    for (let i = 0; i < 300; i++) {
      const any = (limit: number): number => Math.floor(random() * limit);
      const fields = Array.from({ length: any(5) }, () =>
        random() < 0.5 ? u32(any(5)) : text(random() < 0.7 ? `h${any(3)}` : 'x'.repeat(any(300))),
      );
      if (random() < 0.5) observer.input(packet([3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 18, 20, 200][any(15)]!, u32(any(8)), ...fields));
      else observer.output(packet([101, 102, 103, 104, 105, 201][any(6)]!, u32(any(8)), ...fields));
    }
    observer.end();
  }
});
