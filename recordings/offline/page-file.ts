/**
 * Writes a recorded session as one HTML file, and reads such a file back. The format is schemas/offline/page.ts.
 *
 * Writing is streamed: memory holds one part of a file, however long the session. Reading is strict: a page must be exactly what
 * `offlinePage` writes around its content, so a changed byte is in a signed file, contradicts a digest in the about block, or makes
 * the page malformed. Whether its code is this Steno's is reported separately, since a page may come from another version. Tested in
 * page-file.test.ts.
 */
import { createHash } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import {
  MAX_ABOUT_BYTES,
  MAX_OFFLINE_BYTES,
  PART_BYTES,
  encodeAbout,
  offlineHead,
  offlinePartClose,
  offlinePartOpen,
  offlineTail,
  parseAbout,
} from '#schemas/offline/page.js';
import type { OfflineAbout, OfflineApp, OfflineFile } from '#schemas/offline/page.js';

export interface OfflineContent {
  readonly session: string;
  /** Version of Steno. */
  readonly steno: string;
  /** Called after the files are written, since the answer may depend on their content. */
  readonly about: () => Promise<Omit<OfflineAbout, 'files' | 'format' | 'session' | 'steno'>>;
  /** In the order of `offlineFiles`; the recording is always there. */
  readonly files: readonly { readonly name: OfflineFile; readonly content: AsyncIterable<Uint8Array> }[];
}

/** Throws TOO_LARGE once the files are larger than a browser can open; the output so far is then not a page. */
export async function* offlinePage(app: OfflineApp, { session, steno, about, files }: OfflineContent): AsyncGenerator<Buffer, void> {
  yield Buffer.from(offlineHead(app, session, steno));
  const listed: OfflineAbout['files'] = [];
  let total = 0;
  for (const { name, content } of files) {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const part of inParts(content)) {
      bytes += part.length;
      total += part.length;
      refuseOversized(total);
      hash.update(part);
      yield Buffer.from(`${offlinePartOpen(name)}${part.toString('base64')}${offlinePartClose}`);
    }
    listed.push({ name, bytes, sha256: hash.digest('hex') });
  }
  const text = encodeAbout({ format: 1, session, steno, ...(await about()), files: listed });
  if (Buffer.byteLength(text) > MAX_ABOUT_BYTES) throw new StenoError('TOO_LARGE', 'what came along with the recording');
  yield Buffer.from(offlineTail(app, text, sha256(text)));
}

/** `bytes`: of all files. Throws TOO_LARGE. */
export function refuseOversized(bytes: number): void {
  if (bytes > MAX_OFFLINE_BYTES) throw tooLarge();
}

function tooLarge(): StenoError {
  return new StenoError(
    'TOO_LARGE',
    `a browser does not open a page of a recording above ${MAX_OFFLINE_BYTES >> 20} MiB, compressed: export it with --output, and check that file with steno verify`,
  );
}

/** Splits into pieces of `PART_BYTES`; the last one may be shorter. */
async function* inParts(content: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let held: Uint8Array[] = [];
  let length = 0;
  for await (let piece of content) {
    while (length + piece.length >= PART_BYTES) {
      const room = PART_BYTES - length;
      yield Buffer.concat([...held, piece.subarray(0, room)]);
      held = [];
      length = 0;
      piece = piece.subarray(room);
    }
    held.push(piece);
    length += piece.length;
  }
  if (length > 0) yield Buffer.concat(held);
}

export interface ReadPage {
  readonly about: OfflineAbout;
  readonly files: ReadonlyMap<OfflineFile, Buffer>;
  readonly app: OfflineApp;
}

/** Throws PAGE_MALFORMED for anything that `offlinePage` does not write, regardless of the code in the page. */
export function readOfflinePage(file: Buffer): ReadPage {
  const text = (from: number, to: number): string => file.toString('utf8', from, to);
  const bad = (what: string): StenoError => new StenoError('PAGE_MALFORMED', what);
  const styleAt = file.indexOf('<style>');
  const styleEnd = file.indexOf('</style>', styleAt);
  if (styleAt < 0 || styleEnd < 0) throw bad('it has no style');
  const style = text(styleAt + 7, styleEnd);
  const tailAt = file.lastIndexOf('<script type="application/json" id="about"');
  const about = /^<script type="application\/json" id="about" data-sha256="([0-9a-f]{64})">([^<]*)<\/script><script>/.exec(
    text(tailAt, file.length),
  );
  if (tailAt < styleEnd || about === null) throw bad('it has no about block');
  const [opening, aboutSha256, aboutText] = about as unknown as readonly [string, string, string];
  const end = '</script></body></html>\n';
  const script = text(tailAt + Buffer.byteLength(opening), file.length - end.length);
  const parsed = parseAbout(aboutText);
  if (parsed === null) throw bad('its about block cannot be read');
  if (sha256(aboutText) !== aboutSha256) throw bad('its about block was changed');
  const app = offlineApp(script, style);
  const tail = Buffer.from(offlineTail(app, aboutText, aboutSha256));
  if (!file.subarray(tailAt).equals(tail)) throw bad('its end was changed');
  let head: Buffer;
  try {
    head = Buffer.from(offlineHead(app, parsed.session, parsed.steno));
  } catch {
    throw bad('its about block names no session');
  }
  if (!file.subarray(0, head.length).equals(head)) throw bad('its beginning was changed');
  const files = readParts(file.subarray(head.length, tailAt), bad);
  const names = [...files.keys()];
  if (parsed.files.length !== names.length || names[0] !== 'recording') throw bad('its files are not those that it lists');
  for (const [i, listed] of parsed.files.entries()) {
    const content = files.get(listed.name);
    if (content === undefined || names[i] !== listed.name || content.length !== listed.bytes || sha256(content) !== listed.sha256)
      throw bad(`its ${listed.name} is not what was written`);
  }
  return { about: parsed, files, app };
}

function readParts(parts: Buffer, bad: (what: string) => StenoError): Map<OfflineFile, Buffer> {
  const read = new Map<OfflineFile, Buffer[]>();
  let last: OfflineFile | null = null;
  for (let at = 0; at < parts.length;) {
    const name = (['recording', 'events'] as const).find((each) => {
      const open = Buffer.from(offlinePartOpen(each));
      return parts.subarray(at, at + open.length).equals(open);
    });
    const start = at + (name === undefined ? 0 : offlinePartOpen(name).length);
    const end = parts.indexOf(offlinePartClose, start);
    if (name === undefined || end < 0) throw bad('a part cannot be read');
    if (name !== last && read.has(name)) throw bad('its parts are not in order');
    const before = read.get(name);
    if (before !== undefined && before.at(-1)!.length !== PART_BYTES) throw bad('a part is too short');
    const base64 = parts.toString('latin1', start, end);
    const content = Buffer.from(base64, 'base64');
    if (content.length === 0 || content.length > PART_BYTES || content.toString('base64') !== base64) throw bad('a part is not base64');
    read.set(name, [...(before ?? []), content]);
    last = name;
    at = end + offlinePartClose.length;
  }
  return new Map([...read].map(([name, pieces]) => [name, Buffer.concat(pieces)]));
}

/** The code of a page, with the digests in its content security policy. */
export function offlineApp(script: string, style: string): OfflineApp {
  const digest = (code: string): string => createHash('sha256').update(code).digest('base64');
  return { script, style, scriptSha256: digest(script), styleSha256: digest(style) };
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
