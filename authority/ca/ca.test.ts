import { X509Certificate, generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { makeKey, openCas } from './ca.js';
import { caNames } from './names.js';
import type { CaKey, KeyPlaces } from './ca.js';
import { keyPlaces, sealedPlace } from './places.js';
import { createSealer } from './seal.js';

const now = Date.now();
const validity = { from: now - 60_000, until: now + 3_600_000, serial: 7n };
const placesOf = (): KeyPlaces => keyPlaces(sealedPlace(createSealer(randomBytes(32))));
const keysIn = (places: KeyPlaces): Promise<CaKey[]> =>
  Promise.all(caNames.map((name) => makeKey(places, name, 1, 'active', 'ed25519', now)));
const still = new Map();
const tlsKey = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }).toString();

describe('the CAs', () => {
  test('a service certificate verifies against the service CA and names kind and name', async () => {
    const places = placesOf();
    const ca = await openCas({ keys: await keysIn(places), phases: still }, places);
    const [leaf, root] = [
      new X509Certificate(await ca.issueService({ kind: 'gateway', name: 'gw-1' }, tlsKey(), validity)),
      new X509Certificate(ca.trust.service_ca[0]!),
    ];
    expect(leaf.verify(root.publicKey)).toBe(true);
    expect(leaf.checkIssued(root)).toBe(true);
    expect(leaf.subject).toBe('CN=gateway/gw-1');
    expect(leaf.checkHost('gateway.steno')).toBe('gateway.steno');
    const viewer = new X509Certificate(await ca.issueService({ kind: 'viewer', name: 'v-1' }, tlsKey(), validity));
    expect(viewer.checkHost('gateway.steno')).toBeUndefined();
    expect(leaf.ca).toBe(false);
    expect(leaf.serialNumber).toMatch(/^[4-7][0-9A-F]{15}0{15}7$/);
    expect(root.ca).toBe(true);
    expect(root.verify(root.publicKey)).toBe(true);
  });

  test('a user certificate names user and roles as kubectl reads them, is for clients, and no service takes it for one of its own', async () => {
    const places = placesOf();
    const ca = await openCas({ keys: await keysIn(places), phases: still }, places);
    const leaf = new X509Certificate(
      await ca.issueX509User({ user: 'ann', roles: ['dev', 'ops'], traits: {}, mfa: null, requests: [] }, tlsKey(), validity),
    );
    expect(leaf.subject.split('\n')).toEqual(['O=dev', 'O=ops', 'CN=ann']);
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
    expect(leaf.verify(new X509Certificate(ca.trust.x509_user_ca[0]!).publicKey)).toBe(true);
    expect(leaf.verify(new X509Certificate(ca.trust.service_ca[0]!).publicKey)).toBe(false);
  });

  test('private keys do not stand in what is stored, and another data key does not open them', async () => {
    const keys = await keysIn(placesOf());
    for (const { sealed } of keys) expect(Buffer.from(sealed!).includes('PRIVATE')).toBe(false);
    await expect(openCas({ keys, phases: still }, placesOf())).rejects.toMatchObject({ code: 'SEAL_KEY_WRONG' });
  });

  test('a key that was put in the place of another CA is refused', async () => {
    const places = placesOf();
    const keys = await keysIn(places);
    const swapped = keys.map((key) =>
      key.name === 'ssh-host' ? { ...key, sealed: keys.find(({ name }) => name === 'ssh-user')!.sealed } : key,
    );
    await expect(openCas({ keys: swapped, phases: still }, places)).rejects.toMatchObject({ code: 'SEAL_KEY_WRONG' });
    const other = await keysIn(places);
    const mixed = keys.map((key, i) => ({ ...key, sealed: other[i]!.sealed }));
    await expect(openCas({ keys: mixed, phases: still }, places)).rejects.toMatchObject({ code: 'SEAL_KEY_WRONG' });
  });
});
