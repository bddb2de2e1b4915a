/** Documents and expressions that people write, and answers of identity providers. */
import { createPrivateKey } from 'node:crypto';
import { ExpressionError, compileExpression } from '#schemas/policy/label-expression.js';
import { parseTemplate } from '#schemas/policy/login-template.js';
import { parseResources, placeOf } from '#runtime/resources/document.js';
import { parseXml } from '../../../authority/people/sso/xml.js';
import { decodeSamlResponse, readSamlResponse } from '../../../authority/people/sso/saml-response.js';
import { base64, respond, signingKey } from '../../../authority/people/sso/testing/saml-provider.js';
import { claim, claimEqual, parsed, utf8 } from '../target.js';
import type { Target } from '../target.js';

const yaml: Target = {
  name: 'yaml',
  covers: ['runtime/resources', 'schemas/role', 'schemas/policy', 'schemas/connector'],
  maxLength: 4096,
  words: [
    'kind: role',
    'name: ',
    'allow:',
    'deny:',
    'logins: [',
    'labels:',
    'rules:',
    '---\n',
    '&a',
    '*a',
    '!!js',
    '<<:',
    '{user}',
    'max_ttl: 8h',
    '? ',
    '|\n',
    '"\\u0000"',
  ],
  open: () =>
    Promise.resolve({
      seeds: [
        utf8(
          'kind: role\nname: dev\nspec:\n  allow:\n    nodes:\n      - labels: { env: [dev] }\n        logins: [root, "{user}"]\n  max_ttl: 8h\n',
        ),
        utf8('---\nkind: role\nname: a\n---\nkind: role\nname: b\nallow:\n  logins: ["*"]\n'),
        utf8('a: &x [1]\nb: *x\n'),
      ],
      check(input) {
        const text = input.toString();
        const resources = parsed(() => parseResources(text, 'file.yaml'));
        for (const { source, kind, name } of resources ?? []) {
          claimEqual(
            parsed(() => parseResources(source, 'again'))?.map((one) => [one.kind, one.name]),
            [[kind, name]],
            'a document is read again alone',
          );
          placeOf(source, ['spec', 'allow']);
        }
      },
    }),
};

const scope = {
  user: { name: 'ann', roles: ['dev'], traits: { team: ['a', 'b'] } },
  labels: { env: 'dev', __proto__: 'x' },
  node: { name: 'web-1' },
  session: { user: 'ann', node: 'web-1', login: 'root', kind: 'shell' },
  request: { user: 'ann', roles: ['dev'], nodes: ['web-1'] },
} as const;

const expressions: Target = {
  name: 'label-expression',
  covers: ['schemas/policy/label-expression', 'schemas/policy/login-template'],
  maxLength: 1100,
  words: [
    'labels["env"]',
    'labels.env',
    ' == ',
    ' in ',
    'user.traits.team',
    'user.name',
    '.exists(x, ',
    '.all(x, ',
    ' && ',
    ' || ',
    '!',
    'constructor',
    '__proto__',
    '"dev"',
    'startsWith(',
    'size(',
  ],
  open: () =>
    Promise.resolve({
      seeds: [
        'labels["env"] == "dev" && user.name == "ann"',
        'user.traits.team.exists(t, labels["team"] == t)',
        '!(labels.env in ["a", "b"])',
        'web-{user}-{traits.team}',
        '{email.local(traits.email)}',
      ].map(utf8),
      check(input) {
        const text = input.toString();
        for (const about of ['node', 'session', 'request'] as const) {
          const expression = parsed(() => compileExpression(text, about), ExpressionError);
          if (expression === undefined) continue;
          for (const labels of [scope.labels, null]) {
            const truth = expression.evaluate({ ...scope, labels });
            claim(truth === true || truth === false || truth === undefined, 'an expression is true, false or unknown');
          }
        }
        const template = parseTemplate(text);
        if (template?.expand != null)
          for (const name of template.expand({ user: 'ann', traits: { team: ['a'], email: ['b@x.org'] } }))
            claim(typeof name === 'string', 'a template gives names');
      },
    }),
};

const saml: Target = {
  name: 'saml',
  covers: ['authority/people/sso'],
  maxLength: 16_384,
  words: [
    '<saml:Assertion',
    '<samlp:Response',
    '<ds:Signature',
    'Reference URI="#',
    '<!--',
    '<![CDATA[',
    '<!DOCTYPE',
    '&#x',
    '&amp;',
    'xmlns:',
    'NameID',
    'AttributeValue',
    'InResponseTo="',
    '</',
    '/>',
  ],
  async open() {
    const [idp, own] = await Promise.all([signingKey(), signingKey()]);
    const acs = 'https://steno.example.com/acs';
    const expected = {
      issuer: 'https://idp.example.com/metadata',
      certificates: [idp.cert],
      audience: 'https://steno.example.com',
      acs,
      encryption: 'allow' as const,
      decryptionKey: createPrivateKey(own.key),
      now: Date.now(),
    };
    const good = { audience: expected.audience, recipient: acs, destination: acs, inResponseTo: '_r1' };
    const xml = await Promise.all([respond(idp, good), respond(idp, { ...good, signResponse: true })]);
    const truth = new Set(xml.map((text) => JSON.stringify(readSamlResponse(text, expected))));
    return {
      seeds: [...xml.map(utf8), ...xml.map((text) => utf8(base64(text)))],
      check(input) {
        const text = input.toString();
        parsed(() => parseXml(text));
        for (const candidate of [text, parsed(() => decodeSamlResponse(text))]) {
          if (candidate === undefined) continue;
          const assertion = parsed(() => readSamlResponse(candidate, expected));
          if (assertion !== undefined) claim(truth.has(JSON.stringify(assertion)), 'what is accepted is what was signed');
        }
      },
    };
  },
};

export const textTargets: readonly Target[] = [yaml, expressions, saml];
