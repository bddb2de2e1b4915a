/** Identity of the caller, one-time sign-in links, and sign-out. Tested in viewer/api/main.test.ts. */
import { showMe, signInByLink, signOut } from '#schemas/api/front/sign-in.js';
import { meOf } from '../access/access.js';
import { clearedCookie } from '../access/identity.js';
import type { Identities, ViewerAuthority } from '../access/identity.js';
import { limited, sourceAddress } from '../http/guard.js';
import type { Serving } from '../http/serve.js';
import { connectorOf, providerLogout } from './sso.js';

/** Requests per minute. */
const SIGN_INS = { address: 20, all: 300 };

export function signInRoutes(
  serving: Serving,
  { authority, identities }: { readonly authority: ViewerAuthority; readonly identities: Identities },
): void {
  serving.signedIn(showMe, async (viewer) => meOf(viewer));
  serving.open(
    signInByLink,
    async ({ request, reply, body }) => {
      const { identity, cookie } = await identities.signIn(body.token, sourceAddress(request));
      void reply.header('set-cookie', cookie);
      return meOf(identity);
    },
    { onRequest: limited(serving.app, SIGN_INS) },
  );
  serving.open(signOut, async ({ request, reply }) => {
    const client = sourceAddress(request);
    const via = await connectorOf(authority, request.headers.cookie, identities.secure);
    await identities.signOut(request.headers.cookie, client);
    void reply.header('set-cookie', clearedCookie(identities.secure));
    return { next: via === null ? null : await providerLogout(authority, via, client) };
  });
}
