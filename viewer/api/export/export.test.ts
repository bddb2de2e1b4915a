import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readContainer } from '#schemas/recording/container.js';
import { certificateKey } from '#schemas/recording/layout.js';
import { certificateId } from '#schemas/recording/proof.js';
import type { LineBody } from '#schemas/recording/line.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { fingerprint } from '#runtime/ssh/keys.js';
import { openVerifier } from '#runtime/ssh/verifier.js';
import { StenoError } from '#schemas/base/errors.js';
import { readFrames } from '#recordings/read/export-file.js';
import { beginExport } from './export.js';
import { renderText } from '#recordings/render/plain-text.js';
import { record } from '../testing/recorded.js';
import type { Recorded } from '../testing/recorded.js';
import { openStand } from '../testing/stand.js';
import type { Stand } from '../testing/stand.js';

let stand: Stand;
const made = new Map<string, Recorded>();
const states = ['parts', 'sealed', 'repacked'] as const;

function* story(): Generator<readonly [number, LineBody]> {
  for (let i = 0; i < 40; i++) yield [i * 400, { code: 'o', data: `line ${i} ${randomBytes(300).toString('base64')}\r\n` }];
  yield [16_500, { code: 'o', data: 'sdo\b\budo\u001b[31m red\u001b[0m\r\n' }];
  yield [17_000, { code: 'x', data: '0' }];
}

beforeAll(async () => {
  stand = await openStand();
  for (const state of states) {
    made.set(
      state,
      await record(stand, {
        state,
        blocksPerPart: 3,
        lines: story(),
        screen: [
          { text: 'line 0', offset_ms: 0 },
          { text: 'sudo red', offset_ms: 16_500, index: 1 },
        ],
        events: [{ kind: 'gap', reason: 'body_limit' }],
      }),
    );
  }
});
afterAll(() => stand.close());

async function download(id: string, format: string): Promise<Buffer> {
  const response = await fetch(`${stand.url}/api/sessions/${id}/export?format=${format}`, {
    headers: { cookie: stand.signIn('root', 'all') },
  });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-disposition')).toBe(`attachment; filename="${id}.${format.replace(/&.*/, '')}"`);
  return Buffer.from(await response.arrayBuffer());
}

const linesOf = (recorded: Recorded): string => recorded.blocks.map(({ lines }) => lines).join('');
const withoutKeyframes = (text: string): string =>
  text
    .split('\n')
    .filter((line) => !line.startsWith('[0,"k"'))
    .join('\n');

describe.each(states)('a recording stored as %s', (state) => {
  test('verifies offline with nothing but the recording CA', async () => {
    const file = await download(made.get(state)!.id, 'cast.zst');
    const verify = await openVerifier([formatPublicLine(stand.recorder.ca.publicBlob)]);
    expect(verify(file)).toMatchObject({ ok: true, header: { steno: { session: made.get(state)!.id } }, duration: 17_000 });
    const other = await openVerifier([formatPublicLine(stand.recorder.key.publicBlob)]);
    expect(other(file)).toMatchObject({ ok: false, code: 'VERIFY_UNSIGNED' });
  });

  test('cut off anywhere is truncated, not unsigned', async () => {
    const file = await download(made.get(state)!.id, 'cast.zst');
    const verify = await openVerifier([formatPublicLine(stand.recorder.ca.publicBlob)]);
    const last = [...readContainer(file)].findLast(({ kind }) => kind === 'proof')!;
    for (let length = 1; length < last.offset; length += 501)
      expect(verify(file.subarray(0, length)), String(length)).toMatchObject({ ok: false, code: 'VERIFY_TRUNCATED' });
    for (const { offset } of readContainer(file))
      if (offset > 0 && offset <= last.offset)
        expect(verify(file.subarray(0, offset)), String(offset)).toMatchObject({ ok: false, code: 'VERIFY_TRUNCATED' });
  });

  test('opens with stock zstd and reads as its asciicast', async () => {
    const file = join(stand.folder, `${state}.cast.zst`);
    writeFileSync(file, await download(made.get(state)!.id, 'cast.zst'));
    const opened = execFileSync('zstd', ['-dc', file], { encoding: 'utf8', maxBuffer: 1 << 26 });
    expect(opened.startsWith('{"version":3,')).toBe(true);
    expect(withoutKeyframes(opened)).toBe(linesOf(made.get(state)!));
    expect((await download(made.get(state)!.id, 'cast')).toString()).toBe(opened);
  });

  test('carries one seek table, at the end, whose offsets lead to its frames', async () => {
    const file = await download(made.get(state)!.id, 'cast.zst');
    const segments = [...readContainer(file)];
    expect(segments.filter(({ kind }) => kind === 'seek-table')).toHaveLength(1);
    const table = segments.at(-1)!;
    if (table.kind !== 'seek-table') throw new Error('no seek table at the end');
    let offset = 0;
    const frames = table.entries.flatMap(({ compressed, decompressed }) => {
      const at = offset;
      offset += compressed;
      return decompressed > 0 ? [at] : [];
    });
    expect(offset).toBe(table.offset);
    expect(frames).toEqual(segments.flatMap((segment) => (segment.kind === 'data' ? [segment.offset] : [])));
  });

  test('as text holds what was seen, without controls', async () => {
    const text = (await download(made.get(state)!.id, 'txt')).toString();
    expect(text).toContain('line 0 ');
    expect(text).toContain('\nsudo red\n');
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f]/);
    expect(text.split('\n').filter((line) => line.startsWith('line '))).toHaveLength(40);
  });

  test('as json holds header, facts and rendered lines', async () => {
    const parsed = JSON.parse((await download(made.get(state)!.id, 'json')).toString()) as {
      session: { id: string };
      header: { version: number };
      facts: { kind: string }[];
      lines: { text: string }[];
    };
    expect([parsed.session.id, parsed.header.version]).toEqual([made.get(state)!.id, 3]);
    expect(parsed.facts.map(({ kind }) => kind)).toEqual(['gap']);
    expect(parsed.lines.map(({ text }) => text)).toEqual(['line 0', 'sudo red']);
  });
});

test('a live session exports what is stored, which says of itself that it is not whole', async () => {
  const live = await record(stand, { state: 'live', storedParts: 2, blocksPerPart: 2, lines: story() });
  const verify = await openVerifier([formatPublicLine(stand.recorder.ca.publicBlob)]);
  expect(verify(await download(live.id, 'cast.zst'))).toMatchObject({ ok: false, code: 'VERIFY_TRUNCATED' });
  const empty = await record(stand, { state: 'live', lines: story() });
  expect((await fetch(`${stand.url}/api/sessions/${empty.id}/export`, { headers: { cookie: stand.signIn('root', 'all') } })).status).toBe(
    404,
  );
});

test('frames are read whole however the object is cut', async () => {
  const bytes = await download(made.get('repacked')!.id, 'cast.zst');
  await stand.objects.put('gateways/cut.bin', bytes.subarray(0, bytes.length - 3));
  const kinds: string[] = [];
  await expect(
    (async () => {
      for await (const { kind } of readFrames(stand.objects, 'gateways/cut.bin')) kinds.push(kind);
    })(),
  ).rejects.toMatchObject({ code: 'RECORDING_MALFORMED' });
  expect(kinds.slice(0, 2)).toEqual(['proof', 'data']);
  expect(await stand.objects.get(certificateKey(certificateId(fingerprint(stand.recorder.certificate))))).toEqual(
    new Uint8Array(stand.recorder.certificate),
  );
});

test('rendered text keeps long output whole, in order, and joins wrapped lines', async () => {
  const encoder = new TextEncoder();
  async function* lines(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 300; i++) {
      const data = Array.from({ length: 60 }, (_, k) => `${i}:${k} ${'w'.repeat(k === 0 ? 200 : 3)}\r\n`).join('');
      yield encoder.encode(`[0.01,"o",${JSON.stringify(data)}]\n`);
      if (i === 150) yield encoder.encode('[0,"r","100x30"]\n[0,"k",{"cols":1,"rows":1,"screen":"no"}]\n');
    }
  }
  let text = '';
  for await (const chunk of renderText(lines(), { cols: 80, rows: 24, tty: true })) text += new TextDecoder().decode(chunk);
  const expected = Array.from({ length: 18_000 }, (_, n) => `${Math.floor(n / 60)}:${n % 60} ${'w'.repeat(n % 60 === 0 ? 200 : 3)}`);
  expect(text.trimEnd().split('\n')).toEqual(expected);
});

test('an export begins again when a part goes while it is read, and not once bytes are on their way', async () => {
  const gone = new StenoError('STORE_NOT_FOUND', 'part');
  const collect = async (make: (attempt: number) => AsyncGenerator<Uint8Array>): Promise<number> => {
    let attempts = 0;
    let length = 0;
    for await (const bytes of await beginExport(async () => make(attempts++))) length += bytes.length;
    return length;
  };
  const sealedMeanwhile = async function* (attempt: number): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(10);
    if (attempt === 0) throw gone;
    yield new Uint8Array(7);
  };
  expect(await collect(sealedMeanwhile)).toBe(17);
  const goneForGood = async function* (): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(10);
    throw gone;
  };
  await expect(collect(goneForGood)).rejects.toBe(gone);
  const tooLate = async function* (): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(9 << 20);
    throw gone;
  };
  await expect(collect(tooLate)).rejects.toBe(gone);
});

describe('events and pictures', () => {
  const path = "=cmd|' /C calc'!A0";
  let hostile: Recorded;
  beforeAll(async () => {
    hostile = await record(stand, {
      state: 'sealed',
      lines: [
        [10, { code: 'o', data: 'before\r\n' }],
        [5_000, { code: 'o', data: '<after>\r\n' }],
      ],
      events: [
        { kind: 'sftp', path, name: 'write' },
        { kind: 'gap', reason: 'a\n"b",\u202ec', index: 1 },
      ],
    });
  });

  test('a cell that a spreadsheet would take for a formula is text, and no cell leaves its place', async () => {
    const csv = (await download(hostile.id, 'events.csv')).toString();
    expect(csv).toContain(`,'=cmd|' /C calc'!A0,`);
    expect(csv).toContain('"a\n""b"",\\u{202e}c"');
    expect(csv.split('\r\n')).toHaveLength(4);
  });

  test('OCSF has a line for each event, with the whole row in it', async () => {
    const lines = (await download(hostile.id, 'events.ocsf')).toString().trim().split('\n');
    const events = lines.map((line) => JSON.parse(line) as { class_name: string; unmapped: { steno: { path: string; session: string } } });
    expect(events.map(({ class_name: name }) => name)).toEqual(['File System Activity', 'Base Event']);
    expect(events[0]!.unmapped.steno).toMatchObject({ path, session: hostile.id });
  });

  test('a picture is of its moment', async () => {
    const picture = async (at: number): Promise<string> => (await download(hostile.id, `svg&at=${at}`)).toString();
    expect(await picture(1_000)).toContain('>before<');
    expect(await picture(1_000)).not.toContain('after');
    expect(await picture(9_999)).toContain('&lt;after&gt;');
    const png = await download(hostile.id, 'png&at=1000');
    // The size of the terminal, 80 by 24 cells, doubled.
    expect([png.subarray(1, 4).toString(), png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual(['PNG', 1392, 912]);
    expect(png.equals(await download(hostile.id, 'png&at=1000'))).toBe(true);
    expect(png.equals(await download(hostile.id, 'png&at=9999'))).toBe(false);
    const refused = await fetch(`${stand.url}/api/sessions/${hostile.id}/export?format=txt&at=1`, {
      headers: { cookie: stand.signIn('root', 'all') },
    });
    expect(refused.status).toBe(400);
  });
});

describe('exports for whom a role asks for a watermark', () => {
  let recorded: Recorded;
  const role = { view: 'all', watermark: true };
  const get = async (format: string): Promise<string> => {
    const response = await fetch(`${stand.url}/api/sessions/${recorded.id}/export?format=${format}`, {
      headers: { cookie: stand.signIn('ann', 'marked') },
    });
    expect(response.status).toBe(200);
    return Buffer.from(await response.arrayBuffer()).toString('latin1');
  };
  beforeAll(async () => {
    stand.role('marked', role);
    recorded = await record(stand, {
      state: 'sealed',
      lines: [[10, { code: 'o', data: '\u001b[107mall white\u001b[0m\r\n' }]],
      screen: [{ text: 'all white', offset_ms: 10 }],
      events: [{ kind: 'gap', reason: 'body_limit' }],
    });
  });

  const said = /ann, \d{4}-\d\d-\d\d \d\d:\d\d UTC/;

  test('a picture has it above what was recorded, and text, JSON and CSV say it', async () => {
    const svg = await get('svg&at=1000');
    expect(svg.indexOf('url(#watermark)')).toBeGreaterThan(svg.indexOf('all white'));
    expect(svg).toMatch(said);
    const lines = (await get('txt')).trimEnd().split('\n');
    for (const line of [lines[0], lines.at(-1)]) expect(line).toMatch(new RegExp(`^Viewed by ${said.source}, session ${recorded.id}$`));
    expect(JSON.parse(await get('json'))).toMatchObject({ watermark: { viewer: 'ann', at: expect.any(Number) as unknown } });
    const [head, row] = (await get('events.csv')).split('\r\n');
    expect(head).toMatch(/,watermark$/);
    expect(row).toMatch(new RegExp(`"${said.source}"$`));
  });

  test('signed bytes are what they were', async () => {
    for (const format of ['cast.zst', 'cast']) expect(await get(format)).toBe((await download(recorded.id, format)).toString('latin1'));
  });

  test('the opening and the list of segments state it, by the clock of the server; for others nothing does', async () => {
    const ask = async (path: string, view: string): Promise<string> => {
      const response = await fetch(`${stand.url}/api/sessions/${recorded.id}/${path}`, { headers: { cookie: stand.signIn('ann', view) } });
      return response.text();
    };
    for (const path of ['opening', 'segments']) {
      expect(await ask(path, 'marked')).toMatch(/"watermark":\{"viewer":"ann","at":\d{13}\}/);
      expect(await ask(path, 'all')).not.toContain('watermark');
    }
  });

  test('of sessions that an expression leaves out, nothing carries it', async () => {
    stand.role('marked', { view: 'all', watermark: { where: "session.user == 'nobody'" } });
    expect(await get('svg&at=1000')).not.toContain('watermark');
    expect(await get('txt')).not.toContain('Viewed by');
    stand.role('marked', role);
  });
});
