/** Who reached what: CC6.1. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';

export const cc61Sessions: PackQuery = {
  id: 'cc6.1-sessions',
  pack: 'soc2',
  criterion: 'CC6.1',
  title: 'Who reached what',
  proves:
    'Every session that began in the period, with the certificate that let it in and the roles its holder had. Sessions without a certificate do not exist: a serial of 0 would be one. It says nothing of machines that are not behind Steno.',
  sql: `SELECT started_at, user, node, login, kind, source_address, certificate_serial, roles, request_id, session
FROM sessions
WHERE started_at >= {from} AND started_at < {to}
ORDER BY started_at, session`,
};
