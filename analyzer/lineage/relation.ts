/**
 * The rows of `events` with the answer of `process-table.ts` for each: the columns `other_path` and `other_name`, `''` if unknown. For
 * conditions with a field of another process; other conditions read `events` itself. Tested in relation.test.ts.
 *
 * `births` contains, for each process number, the times at which it became something: by an execution, or as the child of a fork. Each
 * birth is resolved to a program by the preceding birth of its parent, in one step for each fork over which a program is inherited.
 */
import { MAX_FORKS } from './process-table.js';

/** A number in `data` of a row; -1, which is no process's number, if there is none. */
const numberIn = (key: string): string => `if(JSONType(data, '${key}') IN ('Int64', 'UInt64'), JSONExtractInt(data, '${key}'), -1)`;
const position = 'toUInt64(block) * 4294967296 + `index`';

/**
 * For a FROM clause. `where`: selects sessions among the rows of `events`; it must not omit any row of a session. `wanted`: which of
 * their rows are returned; programs are determined from all of them.
 */
export function eventsWithOther(where: string, wanted = '1'): string {
  const isOurs = "source = 'kernel' AND session != ''";
  const births =
    `SELECT session, emitter, ${position} AS born, born AS origin, kind = 'exec' AS known, ${numberIn('pid')} AS pid, ` +
    `if(known, pid, ${numberIn('child')}) AS process, if(known, -1, pid) AS parent, if(known, path, '') AS program, if(known, name, '') AS command ` +
    `FROM events WHERE ${isOurs} AND (${where}) AND kind IN ('exec', 'fork') AND pid >= 0 AND process >= 0`;
  let resolved = births;
  for (let fork = 0; fork < MAX_FORKS; fork += 1) resolved = inherited(resolved, births);
  const rows =
    `SELECT *, ${position} AS position_, multiIf(NOT (${isOurs}) OR ${numberIn('pid')} < 0, -1, kind = 'exec', ${numberIn('ppid')}, ${numberIn('pid')}) AS other_ ` +
    `FROM events WHERE (${where}) AND (${wanted})`;
  return (
    `(SELECT e.* EXCEPT (position_, other_), b.program AS other_path, b.command AS other_name FROM (${rows}) AS e ` +
    `ASOF LEFT JOIN (${resolved}) AS b ON e.session = b.session AND e.emitter = b.emitter AND e.other_ = b.process AND e.position_ > b.born)`
  );
}

/** An unresolved birth takes the program of its parent, or refers to the birth one fork further up. */
function inherited(of: string, births: string): string {
  return (
    `SELECT c.session AS session, c.emitter AS emitter, c.born AS born, c.process AS process, c.known OR p.known AS known, ` +
    `if(c.known OR p.session = '', -1, p.parent) AS parent, p.born AS origin, ` +
    `if(c.known, c.program, p.program) AS program, if(c.known, c.command, p.command) AS command ` +
    `FROM (${of}) AS c ASOF LEFT JOIN (${births}) AS p ON c.session = p.session AND c.emitter = p.emitter AND c.parent = p.process AND c.origin > p.born`
  );
}
