/** Limits of users' SQL, for the page and the server. */

/** Most characters of a query. */
export const MAX_SQL = 20_000;
export const MAX_SQL_ROWS = 100_000;
export const MAX_SQL_SECONDS = 300;
