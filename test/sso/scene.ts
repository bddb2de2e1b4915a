/**
 * Shared by the tests of single sign-on: a whole Steno, real identity providers, and a real browser. The SAML provider is
 * `samlp` behind two small pages: a sign-in form, and a form that posts the response.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inflateRawSync } from 'node:zlib';
import { chromium } from 'playwright-core';
import type { Browser, BrowserContext } from 'playwright-core';
import { PERSISTENT, base64, readRequest, respond } from '../../authority/people/sso/testing/saml-provider.js';
import type { Person, SigningKey } from '../../authority/people/sso/testing/saml-provider.js';
import { headless } from '../../viewer/api/testing/chromium.js';

export function openBrowser(): Promise<Browser> {
  return chromium.launch(headless);
}

export interface SamlProvider {
  readonly entityId: string;
  readonly ssoUrl: string;
  /** Alters the response in transit: takes and returns XML. */
  spoil: (xml: string) => string;
  /** The last response that was posted. */
  last: string;
  close(): Promise<void>;
}

/** `steno`: certificate of the key that signs the requests of a connector. */
export async function samlProvider(
  idp: SigningKey,
  steno: (connector: string) => Promise<string>,
  people: (name: string) => Person['attributes'],
): Promise<SamlProvider> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://idp.invalid');
    const name = url.searchParams.get('name');
    const answer = async (): Promise<void> => {
      if (name === null) {
        const hidden = [...url.searchParams]
          .map(([key, value]) => `<input type="hidden" name="${key}" value="${value.replaceAll('"', '&quot;')}">`)
          .join('');
        response
          .setHeader('content-type', 'text/html')
          .end(`<!doctype html><title>IdP</title><form>${hidden}<input name="name" aria-label="Name"><button>Log in</button></form>`);
        return;
      }
      const asked = new URL(url);
      asked.searchParams.delete('name');
      const { assertionConsumerServiceURL: acs } = unverified(asked);
      const request_ = await readRequest(asked, await steno(acs.slice(acs.lastIndexOf('/') + 1)));
      const xml = await respond(
        idp,
        {
          issuer: self.entityId,
          audience: request_.issuer!,
          recipient: request_.assertionConsumerServiceURL!,
          destination: request_.assertionConsumerServiceURL!,
          inResponseTo: request_.id!,
          signResponse: true,
        },
        { nameId: name, nameIdFormat: PERSISTENT, attributes: people(name) },
      );
      self.last = self.spoil(xml);
      const relay = url.searchParams.get('RelayState') ?? '';
      response
        .setHeader('content-type', 'text/html')
        .end(
          `<!doctype html><title>IdP</title><form method="post" action="${request_.assertionConsumerServiceURL!}"><input type="hidden" name="SAMLResponse" value="${base64(self.last)}">` +
            `<input type="hidden" name="RelayState" value="${relay}"></form><script>document.forms[0].submit()</script>`,
        );
    };
    answer().catch((error: unknown) => response.writeHead(400).end(String(error)));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const self: SamlProvider = {
    entityId: `${base}/metadata`,
    ssoUrl: `${base}/sso`,
    spoil: (xml) => xml,
    last: '',
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
  return self;
}

/** Reads from the unverified request which connector sent it, in order to look up its key. */
function unverified(url: URL): { readonly assertionConsumerServiceURL: string } {
  const xml = inflateRawSync(Buffer.from(url.searchParams.get('SAMLRequest') ?? '', 'base64')).toString();
  return { assertionConsumerServiceURL: /AssertionConsumerServiceURL="([^"]+)"/.exec(xml)![1]! };
}

/** Fills in whichever pages the provider shows. */
export async function logInAtProvider(context: BrowserContext, name: string): Promise<void> {
  const page = context.pages()[0]!;
  const saml = page.getByLabel('Name');
  const oidc = page.locator('input[name=login]');
  await saml.or(oidc).first().waitFor();
  if (await saml.isVisible()) {
    await saml.fill(name);
    await page.getByRole('button', { name: 'Log in' }).click();
    return;
  }
  await oidc.fill(name);
  await page.locator('input[name=password]').fill('any');
  await page.locator('button[type=submit]').click();
  await page.getByRole('button', { name: 'Continue' }).click();
}
