/**
 * The rows of `events` with what `process-table.ts` answers for each: the columns `other_path` and `other_name`, `''` where it is not
 * known. For conditions with a field of another process; others read `events` itself. Tested in relation.test.ts.
 *
 * `births` holds, of each process number, when it became something: by an execution, or as the child of a fork. Each is resolved to a
 * program by the birth of its parent before it, once for each fork that a program is handed on over.
 */
import { MAX_FORKS } from './process-table.js';

/** A number that a row has in `data`; -1, which no process has, for none. */
const numberIn = (key: string): string => `if(JSONType(data, '${key}') IN ('Int64', 'UInt64'), JSONExtractInt(data, '${key}'), -1)`;
const position = 'toUInt64(block) * 4294967296 + `index`';

/**
 * To stand behind FROM. `where`: of the rows of `events`, which sessions; it must leave no row of a session out. `wanted`: which of their rows are
 * answered; programs are known from all of them.
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

/** What is not known yet takes the program of its parent, or looks one fork further up. */
function inherited(of: string, births: string): string {
  return (
    `SELECT c.session AS session, c.emitter AS emitter, c.born AS born, c.process AS process, c.known OR p.known AS known, ` +
    `if(c.known OR p.session = '', -1, p.parent) AS parent, p.born AS origin, ` +
    `if(c.known, c.program, p.program) AS program, if(c.known, c.command, p.command) AS command ` +
    `FROM (${of}) AS c ASOF LEFT JOIN (${births}) AS p ON c.session = p.session AND c.emitter = p.emitter AND c.parent = p.process AND c.origin > p.born`
  );
}
