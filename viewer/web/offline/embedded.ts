/**
 * Extracts the content of a standalone page from its own markup. Every part that may vary is compared with the output of `offlinePage`:
 * base64 in its canonical form, the about block with its digest, and the rest of the markup with the parsed head and tail for this
 * script and style. Tested in viewer/api/offline-page.test.ts.
 */
import { PART_BYTES, offlineFiles, offlineHead, offlineTail, parseAbout } from '#schemas/offline/page.js';
import type { OfflineAbout, OfflineFile } from '#schemas/offline/page.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { toHex } from '#schemas/recording/chain.js';

export interface Embedded {
  readonly about: OfflineAbout | null;
  readonly files: ReadonlyMap<OfflineFile, ArrayBuffer>;
  /** Parts of the page, other than its files, that differ from what was written. */
  readonly faults: readonly string[];
}

/** Yields to the browser after this number of parts. */
const PARTS_A_TURN = 16;
const encoder = new TextEncoder();

/** Removes the parts from the document, so that the rest of it is small. `onShare`: progress from 0 to 1. */
export async function takeEmbedded(page: Document, onShare: (share: number) => void): Promise<Embedded> {
  const faults: string[] = [];
  // Read this before the progress display replaces it.
  const root = page.getElementById('root')?.innerHTML ?? '';
  const nodes = [...page.querySelectorAll('script[data-part]')];
  const pieces = new Map<OfflineFile, Uint8Array[]>();
  for (const [i, node] of nodes.entries()) {
    const name = offlineFiles.find((each) => each === node.getAttribute('data-part'));
    const bytes = decoded(node.textContent ?? '');
    node.remove();
    if (name === undefined || bytes === null) {
      faults.push(`part ${i + 1} of the page cannot be read`);
      continue;
    }
    const before = pieces.get(name);
    if (before !== undefined && before.at(-1)!.length !== PART_BYTES) faults.push(`part ${i} of the page is too short`);
    pieces.set(name, [...(before ?? []), bytes]);
    if (i % PARTS_A_TURN === 0) {
      onShare(i / nodes.length);
      await new Promise((resolve) => setTimeout(resolve));
    }
  }
  const aboutNode = page.getElementById('about');
  const text = aboutNode?.textContent ?? '';
  const about = parseAbout(text);
  if (about === null || toHex(sha256(encoder.encode(text))) !== aboutNode?.getAttribute('data-sha256'))
    faults.push('what came along with the recording was changed');
  if (about !== null && !isAsWritten(page, root, about, text)) faults.push('the page around the recording was changed');
  return { about, files: new Map([...pieces].map(([name, list]) => [name, joined(list)])), faults };
}

/** Null unless the text is canonical base64. */
function decoded(text: string): Uint8Array | null {
  let binary: string;
  try {
    binary = atob(text);
  } catch {
    return null;
  }
  if (binary.length === 0 || binary.length > PART_BYTES || btoa(binary) !== text) return null;
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** Passes both sides through the same parser, so that the spelling of a tag makes no difference and its meaning does. */
function isAsWritten(page: Document, root: string, about: OfflineAbout, text: string): boolean {
  const script = page.body.querySelector(':scope > script:not([type])')?.textContent ?? '';
  const style = page.querySelector('style')?.textContent ?? '';
  const digest = (code: string): string => btoa(String.fromCharCode(...sha256(encoder.encode(code))));
  try {
    const head = offlineHead({ style, scriptSha256: digest(script), styleSha256: digest(style) }, about.session, about.steno);
    const written = head + offlineTail({ script }, text, toHex(sha256(encoder.encode(text))));
    if (page.doctype?.name !== 'html' || page.compatMode !== 'CSS1Compat') return false;
    const found = page.documentElement.cloneNode(true) as HTMLElement;
    const shown = found.querySelector('#root');
    if (shown !== null) shown.innerHTML = root;
    return new DOMParser().parseFromString(written, 'text/html').documentElement.outerHTML === found.outerHTML;
  } catch {
    return false;
  }
}

/** Joined into a separate buffer, so that it can be transferred to a worker. */
function joined(list: readonly Uint8Array[]): ArrayBuffer {
  const whole = new Uint8Array(list.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const piece of list) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole.buffer;
}
