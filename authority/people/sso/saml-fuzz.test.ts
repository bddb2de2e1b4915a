/**
 * Mutants of real responses: each is refused, or yields exactly what was signed. No mutation of the document may yield another name,
 * group or request, or any error other than a refusal.
 */
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { createPrivateKey } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import { decodeSamlResponse, readSamlResponse } from './saml-response.js';
import type { SamlAssertion, SamlExpectation } from './saml-response.js';
import { ann, base64, respond, signingKey } from './testing/saml-provider.js';

const acs = 'https://steno.example.com/acs';
let expected: SamlExpectation;
let samples: readonly string[];
let truth: readonly SamlAssertion[];

beforeAll(async () => {
  const [idp, own, other] = await Promise.all([signingKey(), signingKey(), signingKey()]);
  expected = {
    issuer: 'https://idp.example.com/metadata',
    certificates: [idp.cert],
    audience: 'https://steno.example.com',
    acs,
    encryption: 'allow',
    decryptionKey: createPrivateKey(own.key),
    now: Date.now(),
  };
  const good = { audience: expected.audience, recipient: acs, destination: acs, inResponseTo: '_r1' };
  samples = await Promise.all([
    respond(idp, good),
    respond(idp, { ...good, signResponse: true }),
    respond(idp, { ...good, encryptionCert: own.cert, encryptionPublicKey: own.cert }),
    // From another provider: pieces cut out of it and placed elsewhere must have no effect.
    respond(other, good, { ...ann, nameId: 'root' }),
  ]);
  truth = samples.slice(0, 3).map((xml) => readSamlResponse(xml, expected));
});

type Cut = { readonly from: number; readonly length: number };
type Mutation =
  | ({ readonly kind: 'delete' } & Cut)
  | ({ readonly kind: 'copy'; readonly to: number; readonly sample: number } & Cut)
  | { readonly kind: 'insert'; readonly to: number; readonly text: string };

/** Positions are fractions, so that they shrink and fit every sample; elements are the units that wrapping attacks move. */
const place = fc.integer({ min: 0, max: 100_000 });
const tokens = fc.constantFrom(
  '<!---->',
  '<![CDATA[',
  ']]>',
  '&lt;',
  '&#x72;',
  '<',
  '>',
  '"',
  "'",
  ' ',
  '\n',
  '\u0000',
  '</saml:NameID>',
  '<saml:NameID>root</saml:NameID>',
  ' ID="x"',
  ' Id="x"',
  ' xmlns:saml="urn:x"',
  ' xmlns=""',
  'root',
  '<!DOCTYPE x>',
  '<?x?>',
  '<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">',
  '</saml:Assertion>',
  '<Object>',
  '</Object>',
  ' URI=""',
  '#WithComments',
  'é',
);
const cut = { from: place, length: fc.nat(400) };
const mutations = fc.array(
  fc.oneof<fc.Arbitrary<Mutation>[]>(
    fc.record({ kind: fc.constant('delete' as const), ...cut }),
    fc.record({ kind: fc.constant('copy' as const), ...cut, to: place, sample: fc.nat(3) }),
    fc.record({ kind: fc.constant('insert' as const), to: place, text: fc.oneof(tokens, fc.string({ maxLength: 3 })) }),
  ),
  { minLength: 1, maxLength: 4 },
);

/** Snaps to the start of a tag for even places, so that half of the cuts are whole pieces of markup. */
function at(text: string, where: number): number {
  const raw = Math.floor((where / 100_001) * text.length);
  return where % 2 === 0 ? Math.max(0, text.lastIndexOf('<', raw)) : raw;
}

function mutate(text: string, list: readonly Mutation[]): string {
  return list.reduce((now, mutation) => {
    if (mutation.kind === 'insert') return now.slice(0, at(now, mutation.to)) + mutation.text + now.slice(at(now, mutation.to));
    const source = mutation.kind === 'copy' ? samples[mutation.sample]! : now;
    const from = at(source, mutation.from);
    const end = mutation.length % 2 === 0 ? elementEnd(source, from) : from + mutation.length;
    if (mutation.kind === 'delete') return now.slice(0, from) + now.slice(end);
    return now.slice(0, at(now, mutation.to)) + source.slice(from, end) + now.slice(at(now, mutation.to));
  }, text);
}

function elementEnd(text: string, from: number): number {
  const name = /^<([\w:]+)/.exec(text.slice(from, from + 80))?.[1];
  const end = name === undefined ? -1 : text.indexOf(`</${name}>`, from);
  return end < 0 ? from + 1 : end + name!.length + 3;
}

function outcome(act: () => SamlAssertion): SamlAssertion | undefined {
  try {
    return act();
  } catch (error) {
    expect(error).toBeInstanceOf(StenoError);
    expect(error).toMatchObject({ code: 'SSO_REFUSED' });
    return undefined;
  }
}

describe('a mutant of a real response', () => {
  test('is refused, or says what was signed', () => {
    let [refused, same] = [0, 0];
    fc.assert(
      fc.property(fc.nat(3), mutations, (sample, list) => {
        const read = outcome(() => readSamlResponse(mutate(samples[sample]!, list), expected));
        if (read === undefined) refused += 1;
        else {
          same += 1;
          expect(truth).toContainEqual(read);
        }
      }),
      { numRuns: 2_500, interruptAfterTimeLimit: 20_000 },
    );
    // Both outcomes must occur, or the mutations are too wild or too tame to show anything.
    expect(Math.min(refused, same)).toBeGreaterThan(20);
  });

  test('in base64 is refused, or says what was signed', () => {
    fc.assert(
      fc.property(fc.nat(2), fc.array(fc.tuple(place, fc.constantFrom(...'A/+=\n é')), { minLength: 1, maxLength: 3 }), (sample, spots) => {
        let field = base64(samples[sample]!);
        for (const [where, letter] of spots) {
          const spot = Math.floor((where / 100_001) * field.length);
          field = field.slice(0, spot) + letter + field.slice(spot + 1);
        }
        const read = outcome(() => readSamlResponse(decodeSamlResponse(field), expected));
        if (read !== undefined) expect(truth).toContainEqual(read);
      }),
      { numRuns: 500, interruptAfterTimeLimit: 10_000 },
    );
  });
});
