/** Assembles the public interface of the authority: signing in and out, logins, webhooks, other clusters, and relayed endpoints. */
import type { PublicAddresses } from '#schemas/api/front/sign-in.js';
import type { Identities, ViewerAuthority } from '../access/identity.js';
import type { Serving } from '../http/serve.js';
import { clusterRoutes } from './clusters.js';
import { hookRoutes } from './hooks.js';
import { loginRoutes } from './login.js';
import { signInRoutes } from './sign-in.js';
import { samlMetadataRoute } from './sso.js';

export interface FrontParts {
  readonly authority: ViewerAuthority;
  readonly identities: Identities;
  /** Throws NOT_FOUND if this server has no such setting. */
  readonly addresses: () => PublicAddresses;
}

export async function frontRoutes(serving: Serving, parts: FrontParts): Promise<void> {
  const { authority } = parts;
  clusterRoutes(serving, authority);
  signInRoutes(serving, parts);
  loginRoutes(serving, parts);
  samlMetadataRoute(serving, authority);
  await serving.app.register(hookRoutes, { authority });
}
