import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { GONE_MS, Gateways } from './gateways.js';

const folder = mkdtempSync(join(tmpdir(), 'steno-gateways-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let now = 1_000_000;
const fresh = (name: string, told = ['a:1']): Gateways => new Gateways(mkdtempSync(join(folder, `${name}-`)), told, () => now);

describe('the gateways of a node', () => {
  it('are those it was told of and those an authority names, each once, in one array that lives on', () => {
    const gateways = fresh('named', ['a:1', 'b:2']);
    const { addresses } = gateways;
    gateways.named(['b:2', 'c:3']);
    expect(addresses).toEqual(['a:1', 'b:2', 'c:3']);
  });

  it('are given up when no authority has named them for an hour, but never those it was told of', () => {
    const gateways = fresh('gone');
    gateways.named(['b:2', 'c:3']);
    gateways.named(['b:2']);
    expect(gateways.forget()).toBe(GONE_MS);
    now += GONE_MS - 1;
    gateways.named([]);
    expect(gateways.forget()).toBe(1);
    expect(gateways.addresses).toEqual(['a:1', 'b:2', 'c:3']);
    now += 1;
    expect(gateways.forget()).toBe(GONE_MS - 1);
    expect(gateways.addresses).toEqual(['a:1', 'b:2']);
    now += GONE_MS;
    expect(gateways.forget()).toBe(Infinity);
    expect(gateways.addresses).toEqual(['a:1']);
  });

  it('are there again as soon as they are named again', () => {
    const gateways = fresh('again');
    gateways.named(['b:2']);
    gateways.named([]);
    now += GONE_MS - 1;
    gateways.named(['b:2']);
    now += GONE_MS;
    expect(gateways.forget()).toBe(Infinity);
    expect(gateways.addresses).toEqual(['a:1', 'b:2']);
  });

  it('are known after a restart, with how long they have been missed', () => {
    const data = mkdtempSync(join(folder, 'kept-'));
    const first = new Gateways(data, ['a:1'], () => now);
    first.named(['b:2', 'c:3']);
    first.named(['c:3']);
    now += GONE_MS;
    const second = new Gateways(data, ['a:1'], () => now);
    expect(second.addresses).toEqual(['a:1', 'b:2', 'c:3']);
    second.forget();
    expect(second.addresses).toEqual(['a:1', 'c:3']);
  });

  it.each(['', '{', '{"version":2,"learned":[]}', '{"version":1,"learned":[{"address":"no address","unnamed_since":null}]}'])(
    'are learned anew where what was kept is %j',
    (text) => {
      const data = mkdtempSync(join(folder, 'broken-'));
      writeFileSync(join(data, 'gateways.json'), text);
      expect(new Gateways(data, ['a:1'], () => now).addresses).toEqual(['a:1']);
    },
  );
});
