import { X509Certificate, generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createCas, openCas } from './ca.js';
import { createSealer } from './seal.js';

const now = Date.now();

describe('the CAs', () => {
  test('a service certificate verifies against the service CA and names kind and name', async () => {
    const sealer = createSealer(randomBytes(32));
    const ca = openCas(await createCas(sealer, now), sealer);
    const spki = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const pem = await ca.issueService({ kind: 'gateway', name: 'gw-1' }, spki, { from: now - 60_000, until: now + 3_600_000, serial: 7n });
    const [leaf, root] = [new X509Certificate(pem), new X509Certificate(ca.servicePem)];
    expect(leaf.verify(root.publicKey)).toBe(true);
    expect(leaf.checkIssued(root)).toBe(true);
    expect(leaf.subject).toBe('CN=gateway/gw-1');
    expect(leaf.ca).toBe(false);
    expect(leaf.serialNumber).toMatch(/^[4-7][0-9A-F]{15}0{15}7$/);
    expect(root.ca).toBe(true);
    expect(root.verify(root.publicKey)).toBe(true);
  });

  test('private keys do not stand in what is stored, and another seal key does not open them', async () => {
    const sealer = createSealer(randomBytes(32));
    const stored = await createCas(sealer, now);
    for (const { sealed } of stored) expect(Buffer.from(sealed).includes('PRIVATE')).toBe(false);
    expect(() => openCas(stored, createSealer(randomBytes(32)))).toThrow(expect.objectContaining({ code: 'SEAL_KEY_WRONG' }));
  });

  test('a key that was put in the place of another CA is refused', async () => {
    const sealer = createSealer(randomBytes(32));
    const stored = await createCas(sealer, now);
    const swapped = stored.map((ca) => (ca.name === 'ssh-host' ? { ...ca, sealed: stored.find(({ name }) => name === 'ssh-user')!.sealed } : ca));
    expect(() => openCas(swapped, sealer)).toThrow(expect.objectContaining({ code: 'SEAL_KEY_WRONG' }));
    const other = await createCas(sealer, now);
    const mixed = stored.map((ca, i) => ({ ...ca, sealed: other[i]!.sealed }));
    expect(() => openCas(mixed, sealer)).toThrow(expect.objectContaining({ code: 'SEAL_KEY_WRONG' }));
  });
});
