import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { parse } from 'yaml';
import { configText, hostPort, memberFields, parseConfig, readConfig, readSecret } from './config.js';

const folder = mkdtempSync(join(tmpdir(), 'steno-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const schema = z.strictObject({ ...memberFields, listen: hostPort });
const good = `name: edge-1
data: /var/lib/steno
listen: 0.0.0.0:8022
authorities:
  - https://authority-1:8443
`;
const refusal = (text: string): unknown => {
  try {
    return parseConfig(text, 'gateway.yaml', schema);
  } catch (error) {
    return (error as { detail?: string }).detail;
  }
};

describe('a configuration', () => {
  it('has defaults, and printing it shows them', () => {
    const config = parseConfig(good, 'gateway.yaml', schema);
    expect(config).toMatchObject({ fips: false, join: { ca_pins: [] } });
    const printed = configText(config, { 'join token': true, password: false });
    expect(parse(printed)).toEqual(JSON.parse(JSON.stringify(config)));
    expect(printed).toContain('# join token: set\n# password: not set\n');
  });

  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ['a misspelt field', good.replace('listen', 'lisen'), /^gateway\.yaml:3:1: lisen is not a known field; did you mean "listen"\?/],
    ['an unknown nested field', `${good}join:\n  token: x\n`, /^gateway\.yaml:7:3: join\.token is not a known field/],
    ['a missing field', good.replace(/^name.*\n/, ''), /name is missing/],
    ['an impossible port', good.replace('8022', '80222'), /^gateway\.yaml:3:9: listen is not HOST:PORT/],
    ['a relative path', good.replace('/var/lib', 'lib'), /data is not an absolute path/],
    ['an address with a path', good.replace('8443', '8443/x'), /authorities\[0\] is not https:\/\/HOST:PORT/],
    ['a duplicate field', `${good}name: edge-2\n`, /^gateway\.yaml:6:1: /],
    ['two documents', `${good}---\n${good}`, /second document/],
    ['an alias', `${good}x: &a 1\ny: *a\n`, /anchors are not allowed/],
    ['nothing', '\n', /the file is empty/],
    ['a list', '- a\n', /is not a list of fields/],
  ];
  it.each(wrong)('with %s is refused, with the position', (_what, text, why) => {
    expect(refusal(text)).toMatch(why);
  });

  it('that cannot be read is refused with that reason', () => {
    expect(() => readConfig(join(folder, 'none.yaml'), schema)).toThrowError(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });
});

describe('a file with a secret', () => {
  const file = join(folder, 'secret');
  it('is read without its final newline', () => {
    writeFileSync(file, 'word\n', { mode: 0o600 });
    expect(readSecret(file)).toBe('word');
  });
  it.each([0o644, 0o602, 0o660])('is refused if others may read or change it (%o)', (mode) => {
    writeFileSync(file, 'word\n');
    chmodSync(file, mode);
    expect(() => readSecret(file)).toThrowError(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });
});
