/** Users, their logins and their machines, assembled from their parts for app.ts. */
import { Bots } from './bots/bots.js';
import { botRoutes } from './bots/routes.js';
import type { IssueParts } from '../certificates/users.js';
import type { Route } from '../http/server.js';
import type { Links } from '../web-sessions/web-sessions.js';
import { DeviceLogins } from './login/device-login.js';
import { KubeConfirmations } from './login/kube-confirmations.js';
import { LocalLogin } from './login/local-login.js';
import { loginRoutes } from './login/routes.js';
import { SessionConfirmations } from './login/session-confirmations.js';
import { SingleSignOn } from './login/single-sign-on.js';
import type { Sealer } from '../ca/seal.js';
import type { SsoConnectors } from './sso/connectors.js';
import { connectorRoutes } from './sso/routes.js';
import type { PowerGuard } from '../power/guard.js';
import { Enrolment } from './users/enrolment.js';
import { Guesses } from './users/guesses.js';
import { Passwords } from './users/passwords.js';
import { userRoutes } from './users/routes.js';
import { Users } from './users/users.js';

export interface PeopleParts extends IssueParts {
  readonly links: Links;
  readonly sealer: Sealer;
  readonly connectors: SsoConnectors;
  readonly guard: PowerGuard;
  /** Base URL of the page, without a slash at its end. */
  readonly web: string;
}

export function peopleRoutes(parts: PeopleParts): readonly Route[] {
  const { records, links, connectors, guard, clock, web } = parts;
  const site = { origin: new URL(web).origin, name: 'Steno' };
  const local = { ...parts, site, passwords: new Passwords(), guesses: new Guesses(records, clock) };
  const login = new LocalLogin(local);
  const users = new Users(parts);
  return [
    ...botRoutes(new Bots({ ...parts, users }), guard),
    ...userRoutes({ users, guard, enrolment: new Enrolment(local), links, clock }),
    ...connectorRoutes(connectors, guard),
    ...loginRoutes({
      local: login,
      confirmations: new SessionConfirmations({ ...parts, local: login }),
      kubeConfirmations: new KubeConfirmations(parts),
      singleSignOn: new SingleSignOn({ ...parts, web }),
      deviceLogins: new DeviceLogins(local),
      connectors,
      links,
      site,
    }),
  ];
}
