/** Kernel records, which contain text that users choose: any record must become rows that ingest accepts. */
import { kernelRow } from '#schemas/kernel/kernel.js';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { BATCH_BYTES } from '../../../agent/kernel/collecting/batch-text.js';
import { containerOf } from '../../../agent/kernel/rows/container.js';
import { questionOf } from '../../../agent/kernel/rows/dns.js';
import { KernelRecord, RECORD_BYTES, kinds } from '../../../agent/kernel/records/record.js';
import { unpack } from '../../../agent/kernel/records/packing.js';
import { appendRows } from '../../../agent/kernel/rows/rows.js';
import { claim, utf8 } from '../target.js';
import type { Target } from '../target.js';

const clock = { session: '01jd0000000000000000000000', boot_ns: 1_000, offset_ms: 5, error_ms: 1 };

function record(kind: number, op: number, ...texts: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(RECORD_BYTES), ...texts]);
  bytes.writeBigUInt64LE(5_000_000n, 0);
  bytes.writeUInt32LE(1, 8);
  bytes[12] = kind;
  bytes[13] = op;
  texts.forEach((text, i) => bytes.writeUInt32LE(text.length, 64 + 4 * i));
  return bytes;
}

const records: Target = {
  name: 'kernel-record',
  covers: [
    'agent/kernel/rows/rows',
    'agent/kernel/records/record',
    'agent/kernel/records/packing',
    'agent/kernel/rows/container',
    'agent/kernel/rows/escapes',
    'agent/kernel/rows/dns',
  ],
  maxLength: 8192,
  words: ['/etc/shadow', '/proc/self/fd', 'docker.sock', '/run/user/1000', '\u0000', 'crio-'],
  open: () =>
    Promise.resolve({
      seeds: [
        ...Object.values(kinds).map((kind) => record(kind, 1, utf8('/usr/bin/id'), utf8('/root'))),
        record(kinds.exec, 0, Buffer.alloc(72), utf8('/bin/sh\0-c\0id\0'), utf8('/usr/bin/dash'), utf8('/root')),
        record(
          kinds.net,
          1,
          Buffer.concat([Buffer.of(2, 0, 0, 53, 127, 0, 0, 1), Buffer.alloc(40)]),
          utf8('\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x03com\x00\x00\x01\x00\x01'),
        ),
        record(kinds.file, 2, utf8('etc/passwd'), utf8('/')),
      ],
      check(input) {
        const one = new KernelRecord(input);
        if (!one.point(0, input.length)) return;
        const rows: KernelRow[] = [];
        appendRows(rows, one, 1, 0, { session: () => clock, digest: () => ({ missing: 'gone' }), inSession: () => false });
        unpack(one);
        claim(rows.length <= 2, 'a record is one row, or two');
        for (const row of rows) {
          const json = JSON.stringify(row);
          claim(Buffer.byteLength(json) < BATCH_BYTES, 'a row fits a batch');
          const found = kernelRow.safeParse(JSON.parse(json));
          claim(
            found.success,
            `ingest takes the row: ${found.error?.issues[0]?.path.join('.')} ${found.error?.issues[0]?.message} in ${json.slice(0, 200)}`,
          );
        }
      },
    }),
};

const dns: Target = {
  name: 'dns',
  covers: ['agent/kernel/rows/dns'],
  maxLength: 600,
  open: () =>
    Promise.resolve({
      seeds: [
        Buffer.from('\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01', 'latin1'),
        Buffer.from('\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x1c\x00\x01', 'latin1'),
      ],
      check(input) {
        for (const tcp of [false, true]) {
          const question = questionOf(input, tcp);
          if (question === null) continue;
          claim(/^[\x21-\x7e]*$/.test(question.name) && question.name.length <= 4 * 255, 'a name is printable');
          claim(/^[A-Z0-9]+$/.test(question.type), 'a type is a word');
        }
      },
    }),
};

const cgroups: Target = {
  name: 'container-names',
  covers: ['agent/kernel/rows/container'],
  maxLength: 512,
  words: ['docker-', '.scope', 'kubepods-besteffort-pod', '.slice'],
  open: () =>
    Promise.resolve({
      seeds: [
        utf8(`docker-${'a1'.repeat(32)}.scope\nsystem.slice`),
        utf8(`cri-containerd-${'0f'.repeat(32)}.scope\nkubepods-besteffort-pod01234567_89ab_cdef_0123_456789abcdef.slice`),
      ],
      check(input) {
        const { container, pod } = containerOf(input.toString('latin1').split('\n'));
        if (container !== undefined) claim(/^[0-9a-f]{64}$/.test(container), 'an id is 64 digits');
        if (pod !== undefined) claim(/^[0-9a-f-]{36}$/.test(pod), 'a pod is a UUID');
      },
    }),
};

export const kernelTargets: readonly Target[] = [records, dns, cgroups];
