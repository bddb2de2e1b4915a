import { Readable } from 'node:stream';
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ListFilter, ObjectFilter, WatchFilter } from './answer-filter.js';
import { FormError } from './members.js';
import { ENCODED_MARKER, hideValues } from './values.js';

const hide = hideValues({ encoded: true });
const rules = { shows: null, hide, hid: () => undefined };

async function through(filter: Transform, text: string, cuts: readonly number[]): Promise<string> {
  const bytes = Buffer.from(text);
  const chunks: Buffer[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    chunks.push(bytes.subarray(at, (at += cuts[i % cuts.length]!)));
  }
  const got: Buffer[] = [];
  await pipeline(Readable.from(chunks), filter, async (out: AsyncIterable<Buffer>) => {
    for await (const chunk of out) got.push(chunk);
  });
  return Buffer.concat(got).toString();
}

/** Every value contains this in plain text, or its base64 form at any of the three offsets. */
const TELLS = 'hunter2-of-the-vault';
const traces = [
  TELLS,
  ...[0, 1, 2].map((before) =>
    Buffer.from(`${'.'.repeat(before)}${TELLS}`)
      .toString('base64')
      .slice(4, -4),
  ),
];
const tells = (text: string): boolean => traces.some((trace) => text.includes(trace));
const around = fc.string({ maxLength: 5 });
const secretText = fc.tuple(around, around).map(([before, after]) => `${before}${TELLS}${after}`);
const encoded = secretText.map((text) => Buffer.from(text).toString('base64'));
const key = fc.stringMatching(/^[a-z.-]{1,12}$/);
const spelled = (name: string) => fc.constantFrom(name, name.toLowerCase(), name.toUpperCase());

const secret = fc
  .tuple(
    spelled('data'),
    fc.oneof(fc.dictionary(key, encoded), encoded, fc.array(encoded), fc.constant(null)),
    spelled('stringData'),
    fc.dictionary(key, secretText),
    fc.dictionary(key, secretText),
    fc.constantFrom('web', 'db', 'x'),
    fc.boolean(),
  )
  .map(([data, values, stringData, texts, annotations, name, partial]) => {
    const last = JSON.stringify({ [data]: values });
    const metadata = {
      name,
      namespace: 'shop',
      labels: { app: 'shop' },
      annotations: { ...annotations, 'kubectl.kubernetes.io/last-applied-configuration': last },
      managedFields: [{ fieldsV1: { 'f:data': { [`v:${TELLS}`]: {} } } }],
    };
    return partial
      ? { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata }
      : { kind: 'Secret', apiVersion: 'v1', metadata, type: 'Opaque', [data]: values, [stringData]: texts };
  });
type Secret = typeof secret extends fc.Arbitrary<infer T> ? T : never;
const table = (objects: readonly Secret[]) => ({
  kind: 'Table',
  apiVersion: 'meta.k8s.io/v1',
  metadata: { resourceVersion: '7', continue: 'next' },
  columnDefinitions: [{ name: 'Name' }],
  rows: objects.map((object) => ({ cells: [object.metadata.name, 1], object })),
});
const list = (items: readonly Secret[]) => ({
  ...{ kind: 'SecretList', apiVersion: 'v1', metadata: { resourceVersion: '7', continue: 'next', remainingItemCount: 3 } },
  items,
});
const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 });
const spaced = fc.constantFrom(undefined, 1, '\t');
const names = (text: string): readonly string[] => [...text.matchAll(/"name":\s*"(web|db|x)"/g)].map(([, name]) => name!);

describe('no value of a Secret is in', () => {
  const holds = (filter: () => Transform, form: (secrets: readonly Secret[], space: string | number | undefined) => string) =>
    fc.assert(
      fc.asyncProperty(fc.array(secret, { minLength: 1, maxLength: 4 }), cuts, spaced, async (secrets, at, space) => {
        const before = form(secrets, space);
        const after = await through(filter(), before, at);
        expect(tells(after)).toBe(false);
        // Nothing else is removed.
        expect(names(after)).toEqual(names(before));
      }),
      { numRuns: 200 },
    );

  it('the answer that is a Secret', () =>
    holds(
      () => new ObjectFilter(hide),
      ([one], space) => JSON.stringify(one, null, space),
    ));
  it('the answer with a Secret in table form', () =>
    holds(
      () => new ObjectFilter(hide),
      ([one], space) => JSON.stringify(table([one!]), null, space),
    ));
  it('a list, also in the answer to a deletion', async () => {
    for (const filter of [() => new ListFilter(rules), () => new ObjectFilter(hide)])
      await holds(filter, (secrets, space) => JSON.stringify(list(secrets), null, space));
  });
  it('a list in table form', () =>
    holds(
      () => new ListFilter(rules),
      (secrets, space) => JSON.stringify(table(secrets), null, space),
    ));
  it('a watch', () =>
    holds(
      () => new WatchFilter(rules),
      (secrets) => secrets.map((object) => `${JSON.stringify({ type: 'MODIFIED', object })}\n`).join(''),
    ));
  it('a watch in table form', () =>
    holds(
      () => new WatchFilter(rules),
      (secrets) => secrets.map((one) => `${JSON.stringify({ type: 'ADDED', object: table([one]) })}\n`).join(''),
    ));
});

describe('an answer without values', () => {
  const answer = (json: string, by = hide): Promise<string> => through(new ObjectFilter(by), json, [7]);

  it('keeps its keys, and everything else as it is written', async () => {
    expect(
      await answer(
        '{"kind":"Secret","n":12345678901234567890.10,"metadata":{"name":"a","generation":9007199254740993,"annotations":{"a":"b"}},"data":{"k":"aHVudGVyMg==","none":null}}',
      ),
    ).toBe(
      `{"kind":"Secret","n":12345678901234567890.10,"metadata":{"name":"a","generation":9007199254740993},"data":{"k":"${ENCODED_MARKER}","none":null}}\n`,
    );
  });

  it('has base64 markers where clients decode the value', async () => {
    const map = await answer('{"kind":"ConfigMap","data":{"a":"b"},"binaryData":{"c":"ZA=="}}', hideValues({ encoded: false }));
    expect(JSON.parse(map)).toEqual({ kind: 'ConfigMap', data: { a: '[redacted]' }, binaryData: { c: ENCODED_MARKER } });
  });

  it('is unchanged if it is a Status, but not if an object of another group calls itself one', async () => {
    const status = '{"kind":"Status","apiVersion":"v1","status":"Success","data":{"a":"b"}}';
    expect(await answer(status)).toBe(`${status}\n`);
    expect(await answer(status.replace('"v1"', '"example.com/v1"'))).not.toContain('"b"');
    expect(await answer('{"kind":"Table","apiVersion":"example.com/v1","rows":[],"data":{"a":"b"}}')).not.toContain('"b"');
  });

  it('keeps the count and the continue token, because no object is left out', async () => {
    const text = await through(new ListFilter(rules), JSON.stringify(list([])), [9]);
    expect(JSON.parse(text)).toEqual(list([]));
  });

  it('has none of the values of a key that occurs twice', async () => {
    expect(await answer('{"data":{"a":"bbb"},"data":{"a":"ccc","a":"ddd"},"d\\u0061ta":"eee"}')).not.toMatch(/bbb|ccc|ddd|eee/);
  });

  it.each(['', '[]', '{', '{}{}', 'null', '"x"', '{"data":}', '{"metadata":7}', '{"kind":"Secret"} x'])(
    'in another form is cut off: %s',
    async (json) => {
      await expect(answer(json)).rejects.toThrow(FormError);
    },
  );
});
