/** Files that left and came: CC6.7. */
import type { PackQuery } from '#schemas/api/recordings/sql.js';

export const cc67FilesMoved: PackQuery = {
  id: 'cc6.7-files-moved',
  pack: 'soc2',
  criterion: 'CC6.7',
  title: 'Files that left and came',
  proves: 'Files moved by sftp, scp and rsync, with size and digest where they were seen whole.',
  sql: `SELECT at, user, node, login, if(JSONExtractString(data, 'operation') = '', name, JSONExtractString(data, 'operation')) AS operation, path, size, sha256, outcome, session
FROM events
WHERE at >= {from} AND at < {to} AND source = 'recording' AND kind IN ('sftp', 'file')
ORDER BY at, session, path`,
};
