import { describe, expect, test } from 'vitest';
import { formatAuthorization, parseAuthorization, requestText } from './request.js';

const request = { certificate: 'AAAA', time: 1_763_800_000_123, nonce: 'abcdefghijklmnopqrstuv', signature: 'BBBB' };

describe('the authorization header of a signed request', () => {
  test('is formatted and parsed', () => expect(parseAuthorization(formatAuthorization(request))).toEqual(request));
  const good = formatAuthorization(request);
  test.each([
    ['', 'nothing'],
    ['Bearer x', 'another scheme'],
    [`${good} `, 'a blank after it'],
    [` ${good}`, 'a blank before it'],
    [`${good}\n`, 'a line end'],
    [good.replace('nonce=a', 'nonce='), 'a short nonce'],
    [good.replace('time=', 'time=-'), 'a negative time'],
    [good.replace('time=1', 'time=1e'), 'a time that is not an integer'],
    [good.replace('Steno', 'steno'), 'the scheme in lower case'],
    [`${good},x=1`, 'another field'],
    [good.replace('AAAA', 'A'.repeat(20_000)), 'a certificate that is too long'],
  ])('%j is refused: %s', (header) => expect(parseAuthorization(header)).toBeNull());
});

describe('the signed text', () => {
  test('has one field per line, in the order of the format', () => {
    expect(requestText('put', '/v1/nodes/a?b=c', 'ff', 5, 'n')).toBe('steno-request/1\nPUT\n/v1/nodes/a?b=c\nff\n5\nn\n');
  });
});
