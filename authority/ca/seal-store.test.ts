import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { openState } from '#stores/state/open.js';
import { Records } from '../records/records.js';
import { administrator, authorityIn, Cleanup, onSocket, temporaryFolder } from '../testing/authority.js';
import { createSealer, openSealKey } from './seal.js';
import { SealStore } from './seal-store.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const refusal = (code: string): unknown => expect.objectContaining({ code });
const passphrase = 'correct horse battery staple';
const start = (dir: string, sealPassphrase?: string): ReturnType<typeof authorityIn> =>
  authorityIn(dir, cleanup, sealPassphrase === undefined ? {} : { sealPassphrase });
const casOf = async (dir: string, given?: string): Promise<unknown> => {
  const authority = await start(dir, given);
  const { login } = await administrator(authority, cleanup);
  await authority.close();
  return [login.ssh_user_ca, login.ssh_host_ca, login.recording_ca, login.service_ca_pem];
};
const keyFile = (dir: string): string => join(dir, 'authority', 'seal.key');
const reseal = async (dir: string, given: string | undefined, body: object): Promise<void> => {
  const authority = await start(dir, given);
  await onSocket(authority, { method: 'POST', target: '/v1/ca-seal', body });
  await authority.close();
};

describe('a passphrase', () => {
  test('given at the first start is what opens the keys from then on; no key file is made', async () => {
    const dir = temporaryFolder(cleanup);
    const before = await casOf(dir, passphrase);
    expect(existsSync(keyFile(dir))).toBe(false);
    await expect(start(dir)).rejects.toEqual(refusal('SEAL_PASSPHRASE_NEEDED'));
    await expect(start(dir, `${passphrase}!`)).rejects.toEqual(refusal('SEAL_KEY_WRONG'));
    expect(await casOf(dir, passphrase)).toEqual(before);
    expect(readFileSync(join(dir, 'authority', 'state.sqlite')).includes(passphrase)).toBe(false);
  });

  test('that is short is not taken', async () => {
    await expect(start(temporaryFolder(cleanup), 'short')).rejects.toEqual(refusal('SEAL_PASSPHRASE_WEAK'));
  });
});

describe('another seal', () => {
  test('from file to passphrase to another to file: the CAs stay, and only the last one opens them', async () => {
    const dir = temporaryFolder(cleanup);
    const before = await casOf(dir);
    const old = readFileSync(keyFile(dir));
    await reseal(dir, undefined, { kind: 'passphrase', passphrase });
    expect(existsSync(keyFile(dir))).toBe(false);
    expect(await casOf(dir, passphrase)).toEqual(before);
    await reseal(dir, passphrase, { kind: 'passphrase', passphrase: 'another long passphrase' });
    await expect(start(dir, passphrase)).rejects.toEqual(refusal('SEAL_KEY_WRONG'));
    await reseal(dir, 'another long passphrase', { kind: 'file' });
    expect(await casOf(dir)).toEqual(before);
    expect(statSync(keyFile(dir)).mode & 0o777).toBe(0o600);
    writeFileSync(keyFile(dir), old);
    await expect(start(dir)).rejects.toEqual(refusal('SEAL_KEY_WRONG'));
  });

  test("is the owner's alone to make", async () => {
    const authority = await start(temporaryFolder(cleanup));
    await expect((await administrator(authority, cleanup)).call('POST', '/v1/ca-seal', { kind: 'file' })).rejects.toEqual(
      refusal('NOT_FOUND'),
    );
  });

  test('cut short after its commit is finished by the next start; cut short before, it never was', async () => {
    const dir = temporaryFolder(cleanup);
    const before = await casOf(dir);
    const old = readFileSync(keyFile(dir));
    await reseal(dir, undefined, { kind: 'file' });
    // The state after a crash between commit and rename.
    renameSync(keyFile(dir), `${keyFile(dir)}.next`);
    writeFileSync(keyFile(dir), old, { mode: 0o600 });
    expect(await casOf(dir)).toEqual(before);
    expect(existsSync(`${keyFile(dir)}.next`)).toBe(false);
    // The state after a crash before the commit.
    writeFileSync(`${keyFile(dir)}.next`, randomBytes(32), { mode: 0o600 });
    expect(await casOf(dir)).toEqual(before);
  });
});

describe('a state store of before there was a data key', () => {
  test('is converted at its first start: the key file that sealed the CA keys opens them still, no longer by itself', async () => {
    const dir = temporaryFolder(cleanup);
    const before = await casOf(dir);
    const folder = join(dir, 'authority');
    const state = await openState({ kind: 'sqlite', file: join(folder, 'state.sqlite') });
    const records = new Records(state);
    const { sealer } = await SealStore.open(records, { file: keyFile(dir), now: 1 });
    const file = createSealer(openSealKey(keyFile(dir), { mayCreate: false }));
    const keys = await state.selectFrom('ca_keys').selectAll().execute();
    for (const { name, private_sealed } of keys) {
      await state
        .updateTable('ca_keys')
        .set({ private_sealed: file.seal(`ca/${name}`, sealer.open(`ca/${name}`, private_sealed!)) })
        .where('name', '=', name)
        .execute();
    }
    await state.deleteFrom('ca_seals').execute();
    const sealed = async (): Promise<string> =>
      createHash('sha256')
        .update(JSON.stringify(await state.selectFrom('ca_keys').select('private_sealed').execute()))
        .digest('hex');
    const old = await sealed();
    expect(await casOf(dir)).toEqual(before);
    expect(await sealed()).not.toBe(old);
    expect(await casOf(dir)).toEqual(before);
    await records.close();
  });
});
