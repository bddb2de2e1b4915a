/** A bundle is good byte for byte, for `steno verify` and for verify.py; what comes from outside is refused, never repaired. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { signMessage } from '#runtime/ssh/sshsig.js';
import { hashOfFile } from './bundle.js';
import { checkBundle } from './bundle-check.js';
import { BUNDLE_NAMESPACE, MANIFEST, SIGNATURE, manifestText } from './bundle-manifest.js';
import type { BundleManifest } from './bundle-manifest.js';

const root = mkdtempSync(join(tmpdir(), 'steno-bundle-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const AT = Date.UTC(2026, 4, 3, 9);
const [ca, otherCa, key] = [generateKey(), generateKey(), generateKey()];
const good = join(root, 'good');
const script = fileURLToPath(new URL('../../../docs/verify.py', import.meta.url));
const files = { 'recording.cast.zst': 'no recording, but bytes', 'identity.json': '{"user":"ann"}\n', 'roles/dev.json': '{}\n' };

function certificate(by = ca, change: { readonly from?: number; readonly until?: number; readonly keyId?: string } = {}): Buffer {
  return issueCertificate(by, {
    publicKey: key.publicBlob,
    serial: 7n,
    kind: 'user',
    keyId: change.keyId ?? 'ann',
    principals: ['ann', 'deploy'],
    validAfter: BigInt(Math.floor((change.from ?? AT - 60_000) / 1000)),
    validBefore: BigInt(Math.floor((change.until ?? AT + 60_000) / 1000)),
    criticalOptions: new Map(),
    extensions: new Map(),
  });
}

async function bundle(folder: string, signer = certificate(), change: Partial<BundleManifest> = {}): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(folder, 'roles'), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  const listed: BundleManifest['files'] = [];
  for (const path of Object.keys(files)) listed.push({ path, ...(await hashOfFile(join(folder, path))) });
  const manifest: BundleManifest = {
    ...{ version: 1, kind: 'steno-bundle', steno: '0', session: '01jdv3k5m8q2w7x9y4z6a0b1c2', made_at: AT, made_by: 'ann' },
    ...{ principal: 'ann', cluster: 'main', missing: [], files: listed },
    ...change,
  };
  const text = manifestText(manifest);
  writeFileSync(join(folder, MANIFEST), text);
  writeFileSync(join(folder, SIGNATURE), signMessage(key, Buffer.from(text), { namespace: BUNDLE_NAMESPACE, certificate: signer }));
}

const ours = (folder: string, cas: readonly Uint8Array[] | null = [ca.publicBlob]): Promise<string> =>
  checkBundle(folder, cas).then(
    () => 'good',
    (error: unknown) => (error instanceof StenoError ? error.code : String(error)),
  );
/** What verify.py says of the bundle itself: "good", or its first line. */
function theirs(folder: string, ...userCa: readonly string[]): string {
  const { stdout, stderr } = spawnSync('python3', [script, folder, join(root, 'recording-ca.pub'), ...userCa], { encoding: 'utf8' });
  return stdout.startsWith("good: 3 files as 'ann' signed them") ? 'good' : stderr.split('\n')[0]!;
}
const copy = (name: string): string => {
  const folder = join(root, name);
  rmSync(folder, { recursive: true, force: true });
  cpSync(good, folder, { recursive: true });
  return folder;
};

beforeAll(async () => {
  writeFileSync(join(root, 'recording-ca.pub'), formatPublicLine(generateKey().publicBlob));
  writeFileSync(join(root, 'user-ca.pub'), formatPublicLine(ca.publicBlob));
  writeFileSync(join(root, 'other-ca.pub'), formatPublicLine(otherCa.publicBlob));
  await bundle(good);
});

test('a whole bundle is good, under the CA that was given or under none', async () => {
  expect(await checkBundle(good, [ca.publicBlob])).toMatchObject({ vouched: true, events: null, page: null });
  expect(await checkBundle(good, null)).toMatchObject({ vouched: null });
  expect(await ours(good, [otherCa.publicBlob])).toBe('BUNDLE_UNSIGNED');
  expect(theirs(good, join(root, 'user-ca.pub'))).toBe('good');
  expect(theirs(good)).toBe('good');
  expect(theirs(good, join(root, 'other-ca.pub'))).toContain('does not hold');
});

describe.each([MANIFEST, SIGNATURE, ...Object.keys(files)])('%s', (path) => {
  test('is refused with any byte changed, with a byte more and with a byte less, whatever CA is asked for', async () => {
    const folder = copy('changed');
    const bytes = readFileSync(join(good, path));
    const look = async (changed: Uint8Array, what: string): Promise<void> => {
      writeFileSync(join(folder, path), changed);
      for (const cas of [[ca.publicBlob], null]) {
        const code = await ours(folder, cas);
        expect(['BUNDLE_MALFORMED', 'BUNDLE_UNSIGNED'], `${what} of ${path}: ${code}`).toContain(code);
      }
    };
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1 << (at % 8);
      await look(changed, `byte ${at}`);
      if (at % 97 === 0) expect(theirs(folder), `byte ${at} of ${path}`).toMatch(/^bad: /);
    }
    await look(Buffer.concat([bytes, Buffer.from('\n')]), 'a byte more');
    expect(theirs(folder)).toMatch(/^bad: /);
    await look(bytes.subarray(0, -1), 'a byte less');
    expect(theirs(folder)).toMatch(/^bad: /);
  }, 120_000);

  test('is missed', async () => {
    const folder = copy('missing');
    rmSync(join(folder, path));
    expect(await ours(folder)).toBe('BUNDLE_MALFORMED');
    expect(theirs(folder)).toMatch(/^bad: /);
  });
});

test.each<[string, (folder: string) => void]>([
  ['a file that nobody named', (folder) => writeFileSync(join(folder, 'more.txt'), '')],
  ['a file that nobody named, below', (folder) => writeFileSync(join(folder, 'roles', 'more.json'), '')],
  [
    'a link in place of a file',
    (folder) => {
      rmSync(join(folder, 'identity.json'));
      symlinkSync(join(good, 'identity.json'), join(folder, 'identity.json'));
    },
  ],
  ['a link beside the files', (folder) => symlinkSync('/etc', join(folder, 'etc'))],
])('%s is refused', async (_, change) => {
  const folder = copy('odd');
  change(folder);
  expect(await ours(folder)).toBe('BUNDLE_MALFORMED');
  expect(theirs(folder)).toMatch(/^bad: /);
});

test.each<[string, Partial<BundleManifest>, Buffer]>([
  ['by a certificate that had run out', {}, certificate(ca, { until: AT - 1000 })],
  ['by a certificate that was not valid yet', {}, certificate(ca, { from: AT + 50_000 })],
  ['by somebody else than it says', { made_by: 'bob' }, certificate()],
  ['for a principal that the certificate does not name', { principal: 'root' }, certificate()],
  ['with a path that leaves the folder', { files: [{ path: '../x', bytes: 0, sha256: 'a'.repeat(64) }] }, certificate()],
])('signed %s it is refused', async (_, change, signer) => {
  const folder = join(root, 'signed');
  rmSync(folder, { recursive: true, force: true });
  await bundle(folder, signer, change);
  expect(await ours(folder)).toBe('BUNDLE_MALFORMED');
  expect(theirs(folder)).toMatch(/^bad: /);
});
