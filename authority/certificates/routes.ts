/** The routes of certificates: of the machine's owner, services, hosts and sessions. Tested in service-identity.test.ts and sessions.test.ts. */
import { logInAsOwner } from '#schemas/api/people/user-certificates.js';
import { enrolOwnService, issueHostCertificate, issueSessionCertificate, renewService } from '#schemas/api/services/certificates.js';
import type { SessionCertificateRequest } from '#schemas/api/services/certificates.js';
import { StenoError } from '#schemas/base/errors.js';
import { handle, serviceOf } from '../http/server.js';
import type { Route } from '../http/server.js';
import { certifyService, enrolledHostNames, hostCertificate, keepHostKeys, renewedHostNames } from './services.js';
import type { SessionCertificates } from './sessions.js';
import { issueUserCertificate } from './users.js';
import type { IssueParts } from './users.js';

export interface CertificateRouteParts extends IssueParts {
  readonly sessions: SessionCertificates;
}

export function certificateRoutes(parts: CertificateRouteParts): readonly Route[] {
  const { directory, sessions } = parts;
  return [
    handle(logInAsOwner, ({ caller, body }) =>
      issueUserCertificate(parts, caller, { user: caller.actor, mfa: null, requests: [] }, body.public_key, body.tls_key),
    ),
    handle(enrolOwnService, ({ caller, body }) =>
      certifyService(parts, caller, 'service.enroll', { kind: body.kind, name: body.name }, body, enrolledHostNames(parts, body), {
        also: (tx) => keepHostKeys(tx, body),
      }),
    ),
    handle(renewService, async ({ principal, caller, body }) => {
      const service = serviceOf(principal);
      // Nodes that joined by token renew over their tunnel, where the key decides rather than the name.
      if (service.kind === 'agent' && directory.node(service.name)?.tunnel_key !== undefined)
        throw new StenoError('ACCESS_DENIED', 'this node joined by token');
      return certifyService(parts, caller, 'service.renew', service, body, renewedHostNames(parts, service, body.host_certificate));
    }),
    handle(issueSessionCertificate, ({ principal, caller, body }) =>
      sessions.issue(serviceOf(principal), caller, body as SessionCertificateRequest),
    ),
    handle(
      issueHostCertificate,
      (c) => hostCertificate(parts, c),
      (body) => body.name,
    ),
  ];
}
