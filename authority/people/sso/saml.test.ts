/** SAML against a real identity provider, and against impostors of every kind. */
import { createHash, sign } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { samlConnectorSchema } from '#schemas/documents/connector.js';
import type { SamlConnector } from '#schemas/documents/connector.js';
import { StenoError } from '#schemas/base/errors.js';
import type { LoginOutcome } from '../login/connector.js';
import { canonicalize } from './canonical.js';
import { ASSERTION, decodeSamlResponse } from './saml-response.js';
import { beginSaml, finishSaml, metadataUrl, samlMetadata } from './saml.js';
import type { SamlKey, SsoMemory } from './saml.js';
import { PERSISTENT, ann, base64, readRequest, respond, signingKey } from './testing/saml-provider.js';
import type { Person, SigningKey } from './testing/saml-provider.js';
import { DSIG } from './xml-signature.js';
import { attributeOf, childOf, childrenOf, parseXml } from './xml.js';

const web = 'https://steno.example.com';
const callback = `${web}/api/login/callback/adfs`;
const attempt = { state: 's'.repeat(43), callback };
const audience = metadataUrl(web, 'adfs');
let idp: SigningKey;
let other: SigningKey;
let own: SamlKey;

beforeAll(async () => {
  [idp, other] = await Promise.all([signingKey(), signingKey()]);
  const { key, cert } = await signingKey();
  own = { privateKey: key, certificate: cert };
});

function connector(more: Partial<SamlConnector> = {}): SamlConnector {
  return {
    ...samlConnectorSchema.parse({
      kind: 'saml',
      name: 'adfs',
      entity_id: 'https://idp.example.com/metadata',
      sso_url: 'https://idp.example.com/sso?tenant=1',
      certificates: [idp.cert],
      claims_to_roles: [{ claim: 'groups', value: 'sr*', roles: ['sre'] }],
      traits: { team: 'groups' },
    }),
    ...more,
  };
}

function memory(): SsoMemory & { readonly seen: Set<string> } {
  const seen = new Set<string>();
  return { seen, firstUse: async (_, id) => seen.size < seen.add(id).size, bindSubject: async () => undefined };
}

const REQUEST = '_0123456789abcdef';
const good = { audience, recipient: callback, destination: callback, inResponseTo: REQUEST };

/** The outcome of a response, or the detail of its refusal. */
async function finish(
  xml: string,
  options: { readonly connector?: SamlConnector; readonly now?: number; readonly memory?: SsoMemory; readonly id?: string } = {},
): Promise<LoginOutcome> {
  return finishSaml(
    options.connector ?? connector(),
    own,
    web,
    { method: 'POST', query: {}, form: { SAMLResponse: base64(xml) } },
    { id: options.id ?? REQUEST },
    attempt,
    options.memory ?? memory(),
    options.now ?? Date.now(),
  );
}

async function refusal(act: Promise<unknown>): Promise<string> {
  return act.then(
    () => 'accepted',
    (error: unknown) => (error instanceof StenoError ? `${error.code} ${error.detail ?? ''}` : `not a refusal: ${String(error)}`),
  );
}

describe('a login', () => {
  test('begins with a signed request that a provider verifies', async () => {
    const { url, kept } = beginSaml(connector(), own, web, attempt, Date.now());
    expect(new URL(url).searchParams.get('RelayState')).toBe(attempt.state);
    expect(await readRequest(new URL(url), own.certificate)).toMatchObject({
      id: kept.id,
      issuer: audience,
      assertionConsumerServiceURL: callback,
    });
    await expect(readRequest(new URL(url), other.cert)).rejects.toThrow();
  });

  test.each([
    ['signs the assertion', {}],
    ['signs the response too', { signResponse: true }],
    ['signs under a prefix', { signatureNamespacePrefix: 'ds' }],
  ])('ends with a user where the provider %s', async (_, more) => {
    expect(await finish(await respond(idp, { ...good, ...more }))).toEqual({
      user: 'ann',
      roles: ['sre'],
      traits: { team: ['sre', 'staff'] },
      mfa: null,
    });
  });

  test('counts with a key on a curve, and not with its signature under another name', async () => {
    const ec = await signingKey('P-256');
    const xml = (await respond(idp, good)).replace('#rsa-sha256', '#ecdsa-sha256');
    const info = childOf(childOf(childOf(parseXml(xml), ASSERTION, 'Assertion'), DSIG, 'Signature'), DSIG, 'SignedInfo');
    const value = sign('sha256', Buffer.from(canonicalize(info)), { key: ec.key, dsaEncoding: 'ieee-p1363' }).toString('base64');
    const signed = xml.replace(/<SignatureValue>[^<]*/, `<SignatureValue>${value}`);
    expect(await finish(signed, { connector: connector({ certificates: [ec.cert] }) })).toMatchObject({ user: 'ann' });
    expect(await refusal(finish(signed))).toContain('no key of this connector');
    expect(await refusal(finish(await respond(idp, good), { connector: connector({ certificates: [ec.cert] }) }))).toContain(
      'no key of this connector',
    );
  });

  test('takes the new key and the old while a provider rotates', async () => {
    const both = connector({ certificates: [idp.cert, other.cert] });
    for (const key of [idp, other]) expect(await finish(await respond(key, good), { connector: both })).toMatchObject({ user: 'ann' });
  });

  test('says of the second factor what the connector trusts', async () => {
    const REFEDS = 'https://refeds.org/profile/mfa';
    const trusting = connector({ trust_mfa: { authn_context: [REFEDS] } });
    const xml = await respond(idp, { ...good, authnContextClassRef: REFEDS });
    expect((await finish(xml, { connector: trusting })).mfa).toBe('sso.adfs');
    expect((await finish(xml)).mfa).toBeNull();
  });

  test('is of somebody who was asked anew where the connector wants that', async () => {
    const forced = connector({ force_authn: true });
    const xml = await respond(idp, good);
    const begun = (ago: number) => ({ id: REQUEST, at: String(Date.now() - ago) });
    const end = (kept: Readonly<Record<string, string>>) =>
      finishSaml(forced, own, web, { method: 'POST', query: {}, form: { SAMLResponse: base64(xml) } }, kept, attempt, memory(), Date.now());
    expect(await end(begun(5_000))).toMatchObject({ user: 'ann' });
    expect(await refusal(end(begun(-120_000)))).toContain('a new sign-in');
    expect(await refusal(end({ id: REQUEST }))).toContain('a new sign-in');
    expect(new URL(beginSaml(forced, own, web, attempt, Date.now()).url).searchParams.has('SAMLRequest')).toBe(true);
  });

  test('counts once', async () => {
    const remembered = memory();
    const xml = await respond(idp, good);
    expect(await finish(xml, { memory: remembered })).toMatchObject({ user: 'ann' });
    expect(await refusal(finish(xml, { memory: remembered }))).toContain('SSO_REPLAYED');
  });
});

const encryption = (algorithm: string) => ({
  encryptionCert: own.certificate,
  encryptionPublicKey: own.certificate,
  encryptionAlgorithm: algorithm,
  disallowEncryptionWithInsecureAlgorithm: false,
  warnOnInsecureEncryptionAlgorithm: false,
});
const GCM = 'http://www.w3.org/2009/xmlenc11#aes256-gcm';
const CBC = 'http://www.w3.org/2001/04/xmlenc#aes256-cbc';

describe('an encrypted assertion', () => {
  test('is read by the key in the metadata', async () => {
    for (const allowed of ['allow', 'require'] as const)
      expect(
        await finish(await respond(idp, { ...good, ...encryption(GCM) }), { connector: connector({ encryption: allowed }) }),
      ).toMatchObject({ user: 'ann' });
  });

  test('with CBC counts only inside a signed response', async () => {
    const allowing = { connector: connector({ encryption: 'allow' }) };
    expect(await finish(await respond(idp, { ...good, ...encryption(CBC), signResponse: true }), allowing)).toMatchObject({ user: 'ann' });
    expect(await refusal(finish(await respond(idp, { ...good, ...encryption(CBC) }), allowing))).toContain('CBC');
  });

  test('is refused where the connector does not take it, demanded where it must be', async () => {
    expect(await refusal(finish(await respond(idp, { ...good, ...encryption(GCM) })))).toContain('does not take');
    expect(await refusal(finish(await respond(idp, good), { connector: connector({ encryption: 'require' }) }))).toContain('not encrypted');
  });

  test('does not spare the assertion its signature', async () => {
    expect(
      await refusal(finish(await respond(other, { ...good, ...encryption(GCM) }), { connector: connector({ encryption: 'allow' }) })),
    ).toContain('no key of this connector');
  });

  test('that does not open says nothing of why', async () => {
    const xml = await respond(idp, { ...good, ...encryption(GCM) });
    const spoil = (n: number): string =>
      xml.replace(/(<(?:xenc|e):CipherValue>)([^<]+)(<)/g, (whole, open: string, text: string, close: string, at: number) =>
        (xml.slice(0, at).split('CipherValue>').length / 2) >> 0 === n
          ? `${open}${text.startsWith('A') ? 'B' : 'A'}${text.slice(1)}${close}`
          : whole,
      );
    const reasons = await Promise.all([0, 1].map((n) => refusal(finish(spoil(n), { connector: connector({ encryption: 'allow' }) }))));
    expect(reasons).toEqual(Array(2).fill('SSO_REFUSED the assertion cannot be decrypted'));
  });
});

const minutes = (n: number): number => Date.now() + n * 60_000;
const unsigned = async (): Promise<string> => respond(idp, { ...good, signAssertion: false });

describe('a response is refused', () => {
  test.each<[string, () => Promise<string>, string]>([
    ['without signature', unsigned, 'not signed'],
    [
      'where only the response is signed',
      () => respond(idp, { ...good, signAssertion: false, signResponse: true }),
      'Assertion is not signed',
    ],
    ['for another audience', () => respond(idp, { ...good, audience: 'https://else.example.com' }), 'another audience'],
    ['from another issuer', () => respond(idp, { ...good, issuer: 'https://evil.example.com' }), 'another issuer'],
    ['for another recipient', () => respond(idp, { ...good, recipient: `${web}/api/login/callback/other` }), 'another recipient'],
    ['without recipient', () => respond(idp, { audience, destination: callback, inResponseTo: REQUEST }), 'another recipient'],
    ['for another destination', () => respond(idp, { ...good, destination: 'https://else.example.com/acs' }), 'another destination'],
    ['to another request', () => respond(idp, { ...good, inResponseTo: '_other' }), 'another request'],
    ['that nobody asked for', () => respond(idp, { audience, recipient: callback, destination: callback }), 'nobody requested'],
    ['signed by another key', () => respond(other, good), 'no key of this connector'],
    [
      'with its own certificate in place of ours',
      async () =>
        (await respond(other, good)).replace(/<X509Certificate>[^<]*/, `<X509Certificate>${idp.cert.replace(/-----[A-Z ]+-----|\s/g, '')}`),
      'no key of this connector',
    ],
    ['signed with SHA-1', () => respond(idp, { ...good, signatureAlgorithm: 'rsa-sha1' }), 'rsa-sha1'],
    ['digested with SHA-1', () => respond(idp, { ...good, digestAlgorithm: 'sha1' }), 'sha1'],
    [
      'with an HMAC keyed by the public certificate',
      async () =>
        (await respond(idp, good)).replace(
          'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
          'http://www.w3.org/2000/09/xmldsig#hmac-sha1',
        ),
      'hmac-sha1',
    ],
    ['altered', async () => (await respond(idp, good)).replace('>ann<', '>root<'), 'altered'],
    ['with a role added', async () => (await respond(idp, good)).replace('>staff<', '>sre2<'), 'altered'],
    [
      'with an altered digest',
      async () =>
        (await respond(idp, good)).replace(/<DigestValue>[^<]+/, `<DigestValue>${createHash('sha256').update('x').digest('base64')}`),
      'altered',
    ],
    [
      'with an XSLT transform',
      async () =>
        (await respond(idp, good)).replace(
          'http://www.w3.org/2000/09/xmldsig#enveloped-signature',
          'http://www.w3.org/TR/1999/REC-xslt-19991116',
        ),
      'xslt',
    ],
    [
      'with comments kept in canonical form',
      async () => (await respond(idp, good)).replaceAll('xml-exc-c14n#', 'xml-exc-c14n#WithComments'),
      'WithComments',
    ],
    ['of a failure', () => respond(idp, { ...good, samlStatusCode: 'urn:oasis:names:tc:SAML:2.0:status:AuthnFailed' }), 'AuthnFailed'],
    [
      'with a comment in the name',
      async () =>
        (await respond(idp, good, { ...ann, nameId: 'ann@example.com' })).replace('>ann@example.com<', '>ann<!---->@example.com<'),
      'comment',
    ],
    ['with a CDATA section', async () => (await respond(idp, good)).replace('>ann<', '><![CDATA[ann]]><'), 'CDATA'],
    ['with a DOCTYPE', async () => `<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>${await respond(idp, good)}`, 'DOCTYPE'],
    ['with a DOCTYPE after a declaration', async () => `<?xml version="1.0"?><!DOCTYPE r>${await respond(idp, good)}`, 'DOCTYPE'],
    [
      'that is a bomb of entities',
      async () =>
        `<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">${[...'bcdefgh'].map((c, i) => `<!ENTITY ${c} "${`&${'abcdefg'[i]!};`.repeat(10)}">`).join('')}]><l>&h;</l>`,
      'DOCTYPE',
    ],
    ['that names an entity', async () => (await respond(idp, good)).replace('>ann<', '>&xxe;<'), 'entity'],
    ['that is too deep', async () => '<a>'.repeat(5_000) + '</a>'.repeat(5_000), 'deep'],
    ['that is too wide', async () => `<a>${'<b/>'.repeat(20_000)}</a>`, 'elements'],
    ['that is too large', async () => `<a>${'x'.repeat(200_000)}</a>`, 'too large'],
    ['that is no XML', async () => 'SAML', 'well formed'],
    [
      'that is another message',
      async () => '<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"/>',
      'not a SAML response',
    ],
    ['without a role', () => respond(idp, good, { ...ann, attributes: { groups: ['staff'] } }), 'SSO_NO_ROLE'],
    ['with a name that is a path', () => respond(idp, good, { ...ann, nameId: '../../etc' }), 'SSO_NAME'],
    ['with a name that is a mail address', () => respond(idp, good, { ...ann, nameId: 'ann@example.com' }), 'strip_domain'],
    [
      'with a transient name',
      () => respond(idp, good, { ...ann, nameIdFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient' }),
      'transient',
    ],
  ])('%s', async (_, make, reason) => expect(await refusal(finish(await make()))).toContain(reason));

  test.each<[string, number, string]>([
    ['from the future', -5, 'future'],
    ['that is stale', 10, 'stale'],
  ])('%s', async (_, shift, reason) => {
    expect(await refusal(finish(await respond(idp, good), { now: minutes(shift) }))).toContain(reason);
  });

  test('but not for a minute between the clocks', async () => {
    const xml = await respond(idp, good);
    for (const shift of [-0.9, 5.9]) expect(await finish(xml, { now: minutes(shift) })).toMatchObject({ user: 'ann' });
  });
});

/** The eight attacks of "On Breaking SAML" (2012), and variants with duplicate IDs. */
describe('signature wrapping', () => {
  const mallory: Person = { nameId: 'root', nameIdFormat: PERSISTENT, attributes: ann.attributes };
  const parts = async (signResponse: boolean) => {
    const xml = await respond(idp, { ...good, signResponse });
    const evilXml = await respond(other, { ...good, signAssertion: false }, mallory);
    const assertion = /<saml:Assertion.*<\/saml:Assertion>/s.exec(xml)![0];
    const signature = /<Signature .*?<\/Signature>/s.exec(assertion)![0];
    const bare = assertion.replace(signature, '');
    const evil = /<saml:Assertion.*<\/saml:Assertion>/s.exec(evilXml)![0];
    const outer = signResponse ? /<Signature .*?<\/Signature>/s.exec(xml)![0] : '';
    const withIn = (element: string, what: string): string => element.replace(/<\/saml:Issuer>/, `</saml:Issuer>${what}`);
    return { xml, assertion, signature, bare, evil, outer, withIn };
  };
  const idOf = (element: string): string => / ID="([^"]+)"/.exec(element)![1]!;

  test.each<[string, () => Promise<string>]>([
    [
      '1: the signed response inside its signature',
      async () => {
        const { xml, assertion, outer, evil } = await parts(true);
        const original = xml.replace(outer, '');
        return xml
          .replace(assertion, evil)
          .replace(/ ID="[^"]+"/, ' ID="_evil"')
          .replace(outer, outer.replace('</Signature>', `<Object>${original}</Object></Signature>`));
      },
    ],
    [
      '2: the signed response beside its signature',
      async () => {
        const { xml, assertion, outer, evil } = await parts(true);
        return xml
          .replace(assertion, evil)
          .replace(/ ID="[^"]+"/, ' ID="_evil"')
          .replace(outer, `${xml.replace(outer, '')}${outer}`);
      },
    ],
    [
      '3: a forged assertion before the signed one',
      async () => {
        const { xml, assertion, evil } = await parts(false);
        return xml.replace(assertion, evil + assertion);
      },
    ],
    [
      '3b: a forged assertion after the signed one',
      async () => {
        const { xml, assertion, evil } = await parts(false);
        return xml.replace(assertion, assertion + evil);
      },
    ],
    [
      '4: the signed assertion inside the forged one',
      async () => {
        const { xml, assertion, evil, withIn } = await parts(false);
        return xml.replace(assertion, withIn(evil, assertion));
      },
    ],
    [
      '5: the signature in the forged assertion, the signed one beside',
      async () => {
        const { xml, assertion, signature, bare, evil, withIn } = await parts(false);
        return xml.replace(assertion, withIn(evil, signature) + bare);
      },
    ],
    [
      '6: the signed assertion inside the signature in the forged one',
      async () => {
        const { xml, assertion, signature, bare, evil, withIn } = await parts(false);
        return xml.replace(assertion, withIn(evil, signature.replace('</Signature>', `${bare}</Signature>`)));
      },
    ],
    [
      '7: the forged assertion in extensions',
      async () => {
        const { xml, assertion, evil } = await parts(false);
        return xml.replace(assertion, `<samlp:Extensions>${evil}</samlp:Extensions>${assertion}`);
      },
    ],
    [
      '8: the signed assertion in an object of the signature in the forged one',
      async () => {
        const { xml, assertion, signature, bare, evil, withIn } = await parts(false);
        return xml.replace(assertion, withIn(evil, signature.replace('</Signature>', `<Object>${bare}</Object></Signature>`)));
      },
    ],
    [
      'the signature in the forged assertion of the same ID',
      async () => {
        const { xml, assertion, signature, evil, withIn } = await parts(false);
        return xml.replace(assertion, withIn(evil.replace(idOf(evil), idOf(assertion)), signature));
      },
    ],
    [
      'a second ID of the same value in other letters',
      async () => {
        const { xml, assertion } = await parts(false);
        return xml.replace('<samlp:Status>', `<samlp:Status Id="${idOf(assertion)}">`);
      },
    ],
    [
      'the assertion in another namespace beside',
      async () => {
        const { xml, assertion, evil } = await parts(false);
        return xml.replace(assertion, assertion + evil.replaceAll('urn:oasis:names:tc:SAML:2.0:assertion', 'urn:x'));
      },
    ],
    [
      'a reference to everything',
      async () => {
        const { xml, assertion } = await parts(false);
        return xml.replace(`URI="#${idOf(assertion)}"`, 'URI=""');
      },
    ],
    [
      'a second reference',
      async () => {
        const { xml } = await parts(false);
        return xml.replace(/<Reference .*?<\/Reference>/s, (one) => one + one);
      },
    ],
    [
      'a second signature',
      async () => {
        const { xml, signature } = await parts(false);
        return xml.replace(signature, signature + signature);
      },
    ],
    [
      'an empty signature',
      async () => {
        const { xml, signature } = await parts(false);
        return xml.replace(signature, '<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/>');
      },
    ],
    [
      'a quote in the ID',
      async () => {
        const { xml, assertion } = await parts(false);
        return xml.replaceAll(idOf(assertion), "a'] | //*[@x='");
      },
    ],
  ])('%s', async (_, make) => {
    const answer = await refusal(finish(await make()));
    expect(answer).toMatch(/^SSO_REFUSED /);
  });
});

test.each([
  ['', 'not base64'],
  ['!!!!', 'not base64'],
  ['QUJ', 'not base64'],
  ['/////w==', 'not UTF-8'],
  ['QUFB'.repeat(90_000), 'too large'],
])('the field %.20s is refused', (field, reason) => expect(() => decodeSamlResponse(field)).toThrow(reason));

test('an answer by GET is refused', async () => {
  const { xml } = { xml: await respond(idp, good) };
  const answer = { method: 'GET' as const, query: { SAMLResponse: base64(xml) }, form: {} };
  expect(await refusal(finishSaml(connector(), own, web, answer, { id: REQUEST }, attempt, memory(), Date.now()))).toContain(
    'not a SAML response',
  );
});

test('the metadata names our address, our key, and what we want', () => {
  const text = samlMetadata(connector({ encryption: 'allow' }), own, web, callback)
    .replace(/^<\?xml[^>]*>\n/, '')
    .trimEnd();
  const root = parseXml(text);
  const MD = 'urn:oasis:names:tc:SAML:2.0:metadata';
  const descriptor = childOf(root, MD, 'SPSSODescriptor');
  expect(attributeOf(root, 'entityID')).toBe(audience);
  expect(attributeOf(descriptor, 'WantAssertionsSigned')).toBe('true');
  expect(childrenOf(descriptor, MD, 'KeyDescriptor').map((one) => attributeOf(one, 'use'))).toEqual(['signing', 'encryption']);
  expect(attributeOf(childOf(descriptor, MD, 'AssertionConsumerService'), 'Location')).toBe(callback);
});
