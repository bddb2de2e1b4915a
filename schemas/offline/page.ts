/**
 * A recorded session as one HTML file, which `steno export --html` writes and which verifies itself.
 *
 *     head     policy, title, style        the policy names style and script by their SHA-256 and allows nothing else
 *     root     shown until the page has started
 *     parts    the files of the session in base64, `PART_BYTES` of content each
 *     about    one JSON value (`OfflineAbout`): sizes and digests of the files, and unsigned facts
 *     script   the page
 *
 * Parts and about are data blocks, which browsers do not run. Base64 contains no `<`, and JSON is written without it, so that
 * no recorded text can end a block. The parts of one file are adjacent, and each but its last holds `PART_BYTES`. Read and
 * written in recordings/offline/, shown by viewer/web/offline/; described in docs/evidence.md. Tested in recordings/offline/page-file.test.ts.
 */
import { z } from 'zod';

export const OFFLINE_FORMAT = 1;
/** Content bytes of one part, a multiple of three: no part but the last of a file is padded. */
export const PART_BYTES = 3 << 18;
/** Bytes of all files of a page, before base64. A browser holds the page twice while reading it. */
export const MAX_OFFLINE_BYTES = 256 << 20;
/** Bytes of JSON in the about block. */
export const MAX_ABOUT_BYTES = 16 << 20;

/** Files of a session in a page, in their order there. */
export const offlineFiles = ['recording', 'events'] as const;
export type OfflineFile = (typeof offlineFiles)[number];

/** Name of a file when it is extracted. */
export const offlineFileEnding: Readonly<Record<OfflineFile, string>> = { recording: 'cast.zst', events: 'events.zst' };

const digest = z.string().regex(/^[0-9a-f]{64}$/);

/** Facts known to the exporting user besides the recording. They are not signed. */
const unsigned = z.strictObject({
  /** Access requests of the session, as returned by the authority. */
  requests: z.array(z.record(z.string(), z.unknown())),
  /** Documents of the roles in the certificate, as of the export. */
  roles: z.array(z.record(z.string(), z.unknown())),
  /** Reasons for missing data, in words. */
  notes: z.array(z.string()),
});

const offlineAbout = z.strictObject({
  format: z.literal(OFFLINE_FORMAT),
  session: z.string(),
  /** ms since 1970. */
  made_at: z.int(),
  made_by: z.string(),
  steno: z.string(),
  /** Public key lines of the recording CA, supplied by whoever made the file. */
  cas: z.array(z.string()),
  files: z.array(z.strictObject({ name: z.enum(offlineFiles), bytes: z.int(), sha256: digest })).min(1),
  unsigned,
  /** Set if `made_by` and `made_at` are drawn over the content, because a role of the exporting user requires it. */
  watermark: z.literal(true).exactOptional(),
});
export type OfflineAbout = z.output<typeof offlineAbout>;
export type OfflineUnsigned = z.output<typeof unsigned>;

/** The page's own code, and the digests in base64 by which its policy names it. */
export interface OfflineApp {
  readonly script: string;
  readonly style: string;
  readonly scriptSha256: string;
  readonly styleSha256: string;
}

/** Everything before the first part. `session` and `steno` are checked, because both go into the markup. */
export function offlineHead({ style, scriptSha256, styleSha256 }: Omit<OfflineApp, 'script'>, session: string, steno: string): string {
  if (!/^[0-9a-z]{26}$/.test(session) || !/^[\w.+-]{1,64}$/.test(steno)) throw new Error('not a session and a version');
  const policy = [
    "default-src 'none'",
    `script-src 'sha256-${scriptSha256}' 'wasm-unsafe-eval'`,
    `style-src 'sha256-${styleSha256}'`,
    'worker-src blob:',
    'connect-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  return (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">' +
    `<meta http-equiv="Content-Security-Policy" content="${policy}">` +
    '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">' +
    `<meta name="generator" content="Steno ${steno}"><title>Recorded session ${session}</title><style>${style}</style></head>` +
    `<body><div id="root"><p class="unstarted"><b>Recorded session ${session}</b><br>Reading the recording. If this text stays, ` +
    'the browser runs no scripts in this file, or the file was changed: then it has checked nothing, and shows nothing.</p></div>'
  );
}

export function offlinePartOpen(name: OfflineFile): string {
  return `<script type="text/plain" data-part="${name}">`;
}
export const offlinePartClose = '</script>';

/** Everything after the last part. `about`: from `encodeAbout`; `aboutSha256`: SHA-256 of its bytes, in hex. */
export function offlineTail({ script }: Pick<OfflineApp, 'script'>, about: string, aboutSha256: string): string {
  return `<script type="application/json" id="about" data-sha256="${aboutSha256}">${about}</script><script>${script}</script></body></html>\n`;
}

/** JSON that cannot begin or end an element, with members in the order of the schema. */
export function encodeAbout(about: OfflineAbout): string {
  return JSON.stringify(offlineAbout.parse(about)).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Null for an invalid about block. */
export function parseAbout(text: string): OfflineAbout | null {
  try {
    const parsed = offlineAbout.safeParse(JSON.parse(text));
    return parsed.success && encodeAbout(parsed.data) === text ? parsed.data : null;
  } catch {
    return null;
  }
}

/** False for code that would end its element or that an HTML parser would change. */
export function isEmbeddable(code: string): boolean {
  return !/<\/script|<\/style|<!--|<script|[\0\r]/i.test(code);
}
