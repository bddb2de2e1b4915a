/** The ways of logging in, which a viewer passes on for browsers and commands. */
import {
  askConfirmation,
  askKubeConfirmation,
  decideConfirmation,
  showConfirmation,
  showConfirmationState,
} from '#schemas/api/people/confirmations.js';
import {
  beginDeviceLogin,
  beginSingleSignOn,
  decideDeviceLogin,
  finishSingleSignOn,
  listLoginMethods,
  logInWithPasskey,
  logInWithPassword,
  parkSingleSignOn,
  pollDeviceLogin,
  showDeviceLogin,
  showPasskeyOptions,
} from '#schemas/api/people/logins.js';
import { StenoError } from '#schemas/base/errors.js';
import { WEB_SESSION_HEADER } from '#schemas/endpoint/endpoint.js';
import { handle } from '../../http/server.js';
import type { Context, Route } from '../../http/server.js';
import type { Links } from '../../web-sessions/web-sessions.js';
import { allowsPasskeys } from '../users/enrolment.js';
import type { Site } from '../users/passkeys.js';
import type { Connectors } from './connector.js';
import type { DeviceLogins } from './device-login.js';
import type { KubeConfirmations } from './kube-confirmations.js';
import type { LocalLogin } from './local-login.js';
import type { SessionConfirmations } from './session-confirmations.js';
import type { SingleSignOn } from './single-sign-on.js';

export interface LoginRouteParts {
  readonly local: LocalLogin;
  readonly singleSignOn: SingleSignOn;
  readonly deviceLogins: DeviceLogins;
  readonly confirmations: SessionConfirmations;
  readonly kubeConfirmations: KubeConfirmations;
  readonly connectors: Connectors;
  readonly links: Links;
  readonly site: Site;
}

export function loginRoutes({
  local,
  singleSignOn,
  deviceLogins,
  confirmations,
  kubeConfirmations,
  connectors,
  links,
  site,
}: LoginRouteParts): readonly Route[] {
  const who = ({ headers }: Pick<Context<unknown>, 'headers'>) => links.introspect(headers[WEB_SESSION_HEADER] ?? '');
  return [
    handle(listLoginMethods, async () => ({
      local: true,
      passkeys: allowsPasskeys(site),
      origin: site.origin,
      connectors: await connectors.list(),
    })),
    handle(
      logInWithPassword,
      ({ body, caller }) => local.withPassword(body, caller),
      (body) => body.user,
    ),
    handle(showPasskeyOptions, async () => ({ ...(await local.passkeyOptions()) })),
    handle(logInWithPasskey, ({ body, caller }) => local.withPasskey(body.response, caller)),

    handle(beginSingleSignOn, ({ body }, { name }) => singleSignOn.begin(name, body.next)),
    handle(parkSingleSignOn, ({ body }, { name }) => singleSignOn.park(name, body.state, body.form)),
    handle(finishSingleSignOn, ({ body, caller }, { name }) => singleSignOn.finish(name, body, caller)),

    handle(beginDeviceLogin, ({ body, caller }) => deviceLogins.begin({ ...body, user: body.user, tls_key: body.tls_key }, caller)),
    handle(pollDeviceLogin, ({ body, caller }) => deviceLogins.poll(body.device_code, caller)),
    handle(
      showDeviceLogin,
      async (c) => deviceLogins.facts(c.body.user_code, await who(c), c.caller),
      (body) => body.user_code,
    ),
    handle(
      decideDeviceLogin,
      async (c) => deviceLogins.decide(c.body.user_code, c.body.approve, await who(c), c.caller),
      (body) => body.user_code,
    ),

    handle(
      askConfirmation,
      ({ principal, body }) => {
        if (principal.kind !== 'service') throw new StenoError('ACCESS_DENIED');
        return confirmations.begin(principal.service, body);
      },
      ({ node }) => node,
    ),
    handle(
      askKubeConfirmation,
      ({ principal, body }) => {
        if (principal.kind !== 'service') throw new StenoError('ACCESS_DENIED');
        return kubeConfirmations.ask(principal.service, body);
      },
      ({ cluster }) => cluster,
    ),
    handle(showConfirmationState, ({ body }) => confirmations.state(body.token)),
    handle(showConfirmation, async (c) => confirmations.facts(c.body.token, await who(c), c.caller)),
    handle(decideConfirmation, async (c) => confirmations.decide(c.body.token, c.body.approve, c.body, await who(c), c.caller)),
  ];
}
