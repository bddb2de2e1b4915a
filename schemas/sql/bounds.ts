/** Bounds of people's SQL, for the page as for the server. */

/** Characters of a query. */
export const MAX_SQL = 20_000;
export const MAX_SQL_ROWS = 100_000;
export const MAX_SQL_SECONDS = 300;
