/** Words to live sessions that are still published. */
import type { SessionNotice } from '#schemas/session-notice.js';
import type { Reader } from './records.js';

export async function noticesInForce(db: Reader, now: number): Promise<readonly SessionNotice[]> {
  const rows = await db.selectFrom('session_notices').selectAll().where('expires_at', '>', now).orderBy('id').execute();
  return rows.map(({ created_by: by, expires_at, ...notice }) => ({ ...notice, by, expires_at: Number(expires_at) }));
}
