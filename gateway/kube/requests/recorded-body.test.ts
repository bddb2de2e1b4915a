import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { KubeRequest } from '#schemas/policy/kubernetes.js';
import { BodyCopy, MAX_RECORDED_BODY } from './recorded-body.js';
import type { RecordedBody } from './recorded-body.js';

const of = (resource: string, group = ''): KubeRequest => ({
  verb: 'create',
  group,
  resource,
  subresource: null,
  namespace: 'shop',
  name: 'x',
});
const facts = { type: 'application/json', encoding: undefined, whole: true };

function recorded(
  body: unknown,
  request: KubeRequest,
  redact: readonly string[] = [],
  more: Partial<typeof facts> | { encoding: string } = {},
): RecordedBody {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const results = [bytes.length, 1].map((size) => {
    const copy = new BodyCopy();
    for (let at = 0; at < bytes.length; at += Math.max(1, size)) copy.add(bytes.subarray(at, at + size));
    return copy.recorded(request, { ...facts, ...more }, redact);
  });
  // The result is the same for any division into pieces.
  expect(results[1]).toEqual(results[0]);
  return results[0]!;
}

describe('the body of a write', () => {
  it('is recorded unchanged, with its digest', () => {
    const body = { kind: 'Deployment', spec: { replicas: 3 }, data: 'no Secret' };
    const text = JSON.stringify(body);
    expect(recorded(body, of('deployments', 'apps'))).toEqual({
      type: 'application/json',
      bytes: text.length,
      sha256: createHash('sha256').update(text).digest('hex'),
      json: body,
    });
  });

  it.each([
    ['compressed', Buffer.from('{}'), { encoding: 'gzip' }, 'encoded'],
    ['of protobuf', Buffer.from('k8s\0\xff', 'latin1'), { type: 'application/vnd.kubernetes.protobuf' }, 'not JSON'],
    ['of YAML', 'kind: Pod', {}, 'not JSON'],
    ['cut off', '{"kind":', { whole: false }, 'cut off'],
    ['too large', `"${'x'.repeat(MAX_RECORDED_BODY)}"`, {}, 'too large'],
    ['nested beyond the limit', `${'['.repeat(101)}${']'.repeat(101)}`, {}, 'too deep'],
  ])('%s is recorded by type and size, and by its digest if nothing in it is redacted', (_claim, body, more, omitted) => {
    const plain = recorded(body, of('pods'), [], more);
    expect(plain).toMatchObject({ omitted, bytes: Buffer.byteLength(body) });
    expect(plain.json).toBeUndefined();
    expect(plain.sha256 === undefined).toBe(omitted === 'cut off');
    expect(recorded(body, of('secrets'), [], more)).toMatchObject({ omitted, redacted: true });
    expect(recorded(body, of('secrets'), [], more).sha256).toBeUndefined();
  });
});

describe('values of Secrets', () => {
  const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': '{"data":{"k":"hunter2"}}', 'example.com/original': 'hunter2' };
  const managedFields = [{ fieldsV1: { 'f:data': { 'v:hunter2': {} } } }];
  it.each<readonly [string, unknown, unknown]>([
    [
      'in a manifest',
      {
        kind: 'Secret',
        metadata: { name: 's', annotations, managedFields },
        type: 'Opaque',
        data: { k: 'hunter2' },
        stringData: { l: 'hunter2' },
      },
      {
        kind: 'Secret',
        metadata: {
          name: 's',
          annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '[redacted]', 'example.com/original': '[redacted]' },
          managedFields: '[redacted]',
        },
        type: 'Opaque',
        data: { k: '[redacted]' },
        stringData: { l: '[redacted]' },
      },
    ],
    [
      'in a merge patch, except for removals',
      { data: { k: 'hunter2', old: null }, stringData: null },
      { data: { k: '[redacted]', old: null }, stringData: null },
    ],
    [
      'in a JSON patch',
      [{ op: 'add', path: '/data/k', value: 'hunter2' }, 'hunter2'],
      [{ op: 'add', path: '/data/k', value: '[redacted]' }, '[redacted]'],
    ],
    [
      'in other spellings',
      { Data: { k: 'hunter2' }, BINARYDATA: 'hunter2', data: ['hunter2'] },
      { Data: { k: '[redacted]' }, BINARYDATA: '[redacted]', data: '[redacted]' },
    ],
    ['that are not in an object', 'hunter2', '[redacted]'],
    ['that are objects', { data: { k: { deep: 'hunter2' } } }, { data: { k: '[redacted]' } }],
  ])('%s are left out', (_claim, body, expected) => {
    const result = recorded(JSON.stringify(body), of('secrets'));
    expect(result.json).toEqual(expected);
    expect(result).toMatchObject({ redacted: true });
    expect(JSON.stringify(result)).not.toContain('hunter2');
    expect(result.sha256).toBeUndefined();
  });

  it('are left out if a Secret was sent to another resource, or in a list', () => {
    for (const body of [
      { kind: 'Secret', data: { k: 'hunter2' } },
      { kind: 'List', items: [{ kind: 'Secret', data: { k: 'hunter2' } }] },
    ])
      expect(JSON.stringify(recorded(body, of('configmaps')))).not.toContain('hunter2');
  });

  it('of two fields of one name, the last is recorded, and it is redacted', () => {
    expect(JSON.stringify(recorded('{"data":{"k":"hunter2"},"data":{"k":"hunter2"}}', of('secrets')))).not.toContain('hunter2');
  });
});

it('values are left out for resources that a role names, and kept for others', () => {
  const body = { kind: 'ConfigMap', data: { k: 'v' } };
  expect(recorded(body, of('configmaps'), ['configmaps']).json).toEqual({ kind: 'ConfigMap', data: { k: '[redacted]' } });
  expect(recorded(body, of('vaults', 'example.com'), ['vaults.example.com']).redacted).toBe(true);
  expect(recorded(body, of('vaults', 'example.com'), ['vault*']).redacted).toBe(true);
  expect(recorded(body, of('configmaps'), ['secrets', 'config']).json).toEqual(body);
});

it('the token of a token review is never recorded', () => {
  const review = recorded({ spec: { token: 'hunter2' } }, of('tokenreviews', 'authentication.k8s.io'));
  expect(review).toEqual({ type: 'application/json', bytes: expect.any(Number) as number, omitted: 'credential', redacted: true });
});
