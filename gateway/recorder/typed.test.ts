import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LineBody } from '#schemas/recording/line.js';
import { EchoGuard } from './echo.js';
import { QUIET_MS, SECRET_BYTES, SESSION_BYTES, TypedInput } from './typed.js';

const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

class Session {
  now = 0;
  readonly lines: LineBody[] = [];
  readonly input: TypedInput;
  constructor(unechoed: 'digest' | 'full' = 'digest') {
    this.input = new TypedInput(
      {
        echoed: (bytes) => {
          const last = this.lines.at(-1);
          if (last?.code === 'i') this.lines[this.lines.length - 1] = { code: 'i', data: last.data + bytes.toString('latin1') };
          else this.lines.push({ code: 'i', data: bytes.toString('latin1') });
        },
        line: (body) => void this.lines.push(body),
      },
      unechoed,
    );
  }
  type(bytes: Buffer | string, sizes: readonly number[] = []): this {
    const whole = Buffer.from(bytes as string);
    let at = 0;
    for (const size of sizes) {
      if (at >= whole.length) break;
      this.input.typed(whole.subarray(at, at + size), this.now);
      at += size;
    }
    if (at < whole.length) this.input.typed(whole.subarray(at), this.now);
    return this;
  }
  show(text: string): this {
    this.input.shown(Buffer.from(text), this.now);
    return this;
  }
  /** Typed and echoed key by key, as a shell does. */
  run(command: string): this {
    for (const key of command) this.type(key).show(key);
    return this.type('\r').show('\r\n');
  }
  wait(ms: number): this {
    this.now += ms;
    this.input.expire(this.now);
    return this;
  }
  end(): readonly LineBody[] {
    this.input.end(this.now);
    return this.lines;
  }
}
const facts = (lines: readonly LineBody[]) =>
  lines.flatMap((line) => (line.code === 's' && line.data.fact === 'unechoed' ? [line.data] : []));
const sizes = fc.array(fc.integer({ min: 1, max: 4000 }), { maxLength: 60 });
const secret = fc
  .string({ unit: fc.constantFrom(...'abcXYZ0189 !"\\\'/#~éß\x7f'), minLength: 1, maxLength: 120 })
  .filter((text) => text.charCodeAt(0) !== 0x7f);
const prompt = fc.constantFrom('Password: ', '[sudo] password for ann: ', 'Introduzca su llave: ', '? ', '', 'Verification code: ');

describe('a secret', () => {
  test('leaves the same lines as any other secret, however it is typed: neither its bytes nor its length nor a digest', () => {
    fc.assert(
      fc.property(
        prompt,
        secret,
        secret,
        sizes,
        sizes,
        fc.constantFrom('digest' as const, 'full' as const),
        fc.integer({ min: 1, max: 4 }),
        fc.boolean(),
        (asked, one, other, cuts, otherCuts, mode, times, silent) => {
          const record = (text: string, cut: readonly number[]): readonly LineBody[] => {
            const session = new Session(mode).show('$ ').run('sudo id');
            for (let time = 0; time < times; time++) {
              session.show(asked).type(text, cut);
              if (silent) session.wait(2_000);
              session.type('\r').show('\r\n');
            }
            session.show('uid=0(root)\r\n$ ').run('exit');
            return [...session.end(), { code: 'm', data: `${session.input.recorded.bytes} ${session.input.recorded.hash.digest('hex')}` }];
          };
          expect(record(one, cuts)).toEqual(record(other, otherCuts));
        },
      ),
      { numRuns: 500 },
    );
  });

  test('is not in the digest of data that follows it', () => {
    const data = Buffer.alloc(5_000, 'data in lines\n');
    for (const asked of ['[sudo] password for ann: ', 'clave de ann> ']) {
      const lines = new Session()
        .show('$ ')
        .run('sudo sh -c "stty -echo; cat > f"')
        .show(asked)
        .type('hunter2')
        .type('\r')
        .show('\r\n')
        .type(data, [100])
        .end();
      expect(facts(lines)).toEqual([{ fact: 'unechoed', bytes: data.length, sha256: sha256(data) }]);
    }
  });

  test('typed at a prompt in the middle of data is not in the digest of either part', () => {
    const session = new Session()
      .show('$ ')
      .run('stty -echo')
      .type(Buffer.alloc(2_000, 'a'))
      .wait(1_000)
      .show('Password: ')
      .type('hunter2\r')
      .show('\r\n')
      .type(Buffer.alloc(3_000, 'b'));
    expect(facts(session.end())).toEqual([
      { fact: 'unechoed', bytes: 2_000, sha256: sha256('a'.repeat(2_000)) },
      { fact: 'unechoed', bytes: 3_000, sha256: sha256('b'.repeat(3_000)) },
    ]);
  });

  test('of the maximum length leaves a gap, and one longer by a byte is treated as data', () => {
    const record = (length: number): readonly LineBody[] =>
      new Session()
        .show('Passphrase: ')
        .type(`${'p'.repeat(length)}\r`)
        .show('\r\n')
        .end();
    expect(record(SECRET_BYTES).map(({ code }) => code)).toEqual(['g', 'i']);
    expect(facts(record(SECRET_BYTES + 1))).toEqual([
      { fact: 'unechoed', bytes: SECRET_BYTES + 2, sha256: sha256(`${'p'.repeat(SECRET_BYTES + 1)}\r`) },
    ]);
  });
});

describe('data without echo', () => {
  const binary = fc
    .tuple(fc.constantFrom(0x7f, 0x50, 0x41), fc.uint8Array({ minLength: 3_000, maxLength: 30_000 }))
    .map(([first, rest]) => Buffer.from([first, 0x45, ...rest]));
  const text = fc
    .array(fc.string({ minLength: 20, maxLength: 76, unit: fc.constantFrom(...'ABCDEFghijkl0123+/') }), { minLength: 60, maxLength: 300 })
    .map((lines) => Buffer.from(lines.map((line) => `${line}\n`).join('')));

  test('leaves its size and digest, and its bytes if the role says so, in pieces of any size', () => {
    fc.assert(
      fc.property(
        fc.oneof(binary, text),
        sizes,
        fc.constantFrom('digest' as const, 'full' as const),
        fc.integer({ min: 64, max: 500 }),
        (data, cuts, mode, first) => {
          const lines = new Session(mode)
            .show('$ ')
            .run('stty raw -echo; cat > f')
            .type(data, [first, ...cuts])
            .end();
          expect(facts(lines)).toEqual([{ fact: 'unechoed', bytes: data.length, sha256: sha256(data) }]);
          const kept = Buffer.concat(lines.flatMap((line) => (line.code === 'b' ? [Buffer.from(line.data.base64, 'base64')] : [])));
          expect(kept.equals(mode === 'full' ? data : Buffer.alloc(0))).toBe(true);
          expect(lines.filter(({ code }) => code === 'g').length).toBeGreaterThan(0);
        },
      ),
      { numRuns: 120 },
    );
  });

  test('is gathered once there is too much of it to be secrets, even if a program answers each piece or echoes between them', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: SECRET_BYTES }), fc.constantFrom('.', '\r\n', 'Password: ', 'echo'), (length, answer) => {
        const session = new Session().show('$ ').run('stty -echo; ./mover');
        let moved = 0;
        while (moved < SESSION_BYTES + 20_000) {
          session.type(`${'x'.repeat(length)}\n`).wait(1_000);
          moved += length;
          if (answer === 'echo') session.type('e').show('e');
          else session.show(answer);
          session.wait(QUIET_MS);
        }
        const lines = session.end();
        expect(facts(lines)).toHaveLength(1);
        expect(facts(lines)[0]!.bytes).toBeGreaterThanOrEqual(20_000 - 3 * SECRET_BYTES);
      }),
      { numRuns: 20 },
    );
  });

  test('is recorded ten seconds after it stops, and keys after it are text again', () => {
    const session = new Session()
      .show('$ ')
      .run('cat > f')
      .type(Buffer.alloc(4_000, 'x'))
      .wait(QUIET_MS - 1);
    expect(facts(session.lines)).toEqual([]);
    session.wait(1).wait(1_000);
    expect(facts(session.lines)).toHaveLength(1);
    expect(session.input.dueAt).toBe(Infinity);
    session.type('\x03').show('^C\r\n$ ').run('ls');
    expect(session.end().at(-1)).toEqual({ code: 'i', data: '\x03ls\r' });
  });

  test('key by key, as in a pager, leaves control keys as text', () => {
    const session = new Session().show('$ ').run('less f');
    for (let i = 0; i < 1_500; i++) session.type('j').wait(50).show('line\r\n').type('\x1b[B');
    const lines = session.type('q').show('\r\n$ ').run('id').end();
    expect(
      lines
        .map((line) => (line.code === 'i' ? line.data : ''))
        .join('')
        .split('\x1b[B'),
    ).toHaveLength(1_501);
    expect(facts(lines)).toHaveLength(1);
  });
});

test('for any typing and output, the guard returns every byte in order', () => {
  const step = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => ['type', Buffer.from(bytes)] as const),
    fc.string({ maxLength: 20 }).map((text) => ['show', Buffer.from(text)] as const),
    fc.constant(['wait', Buffer.alloc(0)] as const),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const guard = new EchoGuard();
      const typed: Buffer[] = [];
      const back: Buffer[] = [];
      let now = 0;
      for (const [what, bytes] of steps) {
        if (what === 'type') typed.push(bytes);
        const released = what === 'type' ? guard.typed(bytes, now) : what === 'show' ? guard.shown(bytes) : guard.expire((now += 1_000));
        for (const item of released) if (item.kind !== 'gap') back.push(item.bytes);
      }
      for (const item of guard.end()) if (item.kind !== 'gap') back.push(item.bytes);
      expect(Buffer.concat(back).equals(Buffer.concat(typed))).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test('large binary input takes proportional time', () => {
  const bytes = Buffer.from(
    Array.from({ length: 32 << 10 }, (_, i) => ((i * 7919 + (i >> 3)) % 3 === 0 ? i % 31 : 0x41 + (i % 26))).filter(
      (byte) => byte !== 10 && byte !== 13 && byte !== 3 && byte !== 4 && byte !== 27,
    ),
  );
  const start = performance.now();
  const session = new Session();
  for (let i = 0; i < 64; i++) session.type(bytes).type('\r').show('\x1b[H');
  session.end();
  console.info(`${((64 * bytes.length) / 1e3 / (performance.now() - start)).toFixed(1)} MB/s of unechoed input`);
  expect(facts(session.lines)).toHaveLength(1);
});

describe('input by several people', () => {
  const typed = (lines: readonly LineBody[]): string =>
    lines
      .map((line) =>
        line.code === 'i'
          ? line.data
          : line.code === 's' && line.data.fact === 'typist'
            ? `<${line.data.user}>`
            : line.code === 'g'
              ? '<gap>'
              : '',
      )
      .join('');

  test('names the user when it changes, and nobody while the owner types alone', () => {
    const session = new Session();
    session.run('ls');
    session.input.typist('alice', 'alice');
    session.run('id');
    expect(typed(session.lines)).toBe('ls\rid\r');
    session.input.typist('bob', 'alice');
    session.run('w');
    session.input.typist('alice', 'alice');
    session.run('cd');
    expect(typed(session.end())).toBe('ls\rid\r<bob>w\r<alice>cd\r');
  });

  test('names the right user when an echo arrives after somebody else has typed', () => {
    const session = new Session();
    session.type('ab');
    session.input.typist('bob', 'alice');
    session.type('cd');
    session.input.typist('alice', 'alice');
    session.type('ef').show('abcdef').type('\r').show('\r\n');
    expect(typed(session.end())).toBe('ab<bob>cd<alice>ef\r');
  });

  test('names the user who typed a secret that is not recorded', () => {
    const session = new Session();
    session.input.typist('bob', 'alice');
    session.show('Password: ').type('hunter2\r').show('\r\n');
    session.input.typist('alice', 'alice');
    session.run('ls');
    const lines = session.end();
    expect(typed(lines)).toBe('<bob><gap>\r<alice>ls\r');
    expect(JSON.stringify(lines)).not.toContain('hunter2');
  });

  test('keeps every byte, with the user who typed it, for any order of keys and echoes', () => {
    const people = ['alice', 'bob', 'carol'];
    fc.assert(
      fc.property(
        fc.array(fc.record({ who: fc.nat(2), key: fc.constantFrom('a', 'b', 'c', '\r', '\t'), echo: fc.boolean() }), { maxLength: 60 }),
        (keys) => {
          const session = new Session();
          let waiting = '';
          for (const { who, key, echo } of keys) {
            session.input.typist(people[who]!, 'alice');
            session.type(key);
            waiting += key === '\r' || key === '\t' ? '' : key;
            if (!echo && key !== '\r') continue;
            session.show(waiting);
            waiting = '';
          }
          session.show(waiting);
          const expected = new Map<string, string>();
          for (const { who, key } of keys) expected.set(people[who]!, (expected.get(people[who]!) ?? '') + key);
          const actual = new Map<string, string>();
          let now = 'alice';
          for (const line of session.end()) {
            if (line.code === 's' && line.data.fact === 'typist') now = line.data.user;
            if (line.code === 'i') actual.set(now, (actual.get(now) ?? '') + line.data);
          }
          expect(actual).toEqual(expected);
        },
      ),
    );
  });
});
