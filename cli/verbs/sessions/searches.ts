/** `steno searches`: searches and SQL that `steno search --save` and `steno sql --save` keep under a name. Tested in test/end-to-end/cases.test.ts. */
import { Command } from 'commander';
import { deleteSavedSearch, listSavedSearches } from '#schemas/api/cases/saved-searches.js';
import type { SavedSearch } from '#schemas/api/cases/saved-searches.js';
import { formatDuration } from '#schemas/base/duration.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { json, moment, standardOutput, table, visible } from '../../terminal/output.js';
import { savedNamed } from '../saved/saved.js';
import { runSearch, searchOutput } from './search.js';
import type { SearchOutput } from './search.js';

export function searchesCommand(): Command {
  const searches = new Command('searches').description('list, run and delete saved searches and saved SQL').addHelpText(
    'after',
    `
\`steno search --save NAME QUERY\` saves one, \`steno sql --save NAME QUERY\` SQL. With --every, it runs by itself with the rights that you have then, and webhooks that
name the event "search.hit" are told of new hits.
Examples:
  steno search --save "shadow reads" --every 15m path:/etc/shadow not user:root
  steno searches ls
  steno searches run "shadow reads"
`,
  );
  searches.command('ls').description('list what you saved, and what others share with you').option('--json', 'print JSON').action(list);
  searches
    .command('rm')
    .description('delete a saved search')
    .argument('<search>', 'its name, or its id')
    .action(async (wanted: string) => {
      const client = openClient(openHome());
      const { id, name } = await savedNamed(client, wanted);
      await call(client.authority, deleteSavedSearch, { params: { name: id } });
      standardOutput.err.write(`“${visible(name)}” (${id}) is deleted\n`);
    });
  const run = searches
    .command('run')
    .description('run a saved search now, with your own rights')
    .argument('<search>', 'its name, or its id');
  searchOutput(run).action(async (wanted: string, options: SearchOutput) => {
    const client = openClient(openHome());
    const { language, name, query } = await savedNamed(client, wanted);
    if (language === 'sql') throw new StenoError('USAGE', `“${visible(name)}” is SQL: steno sql --saved runs it`);
    await runSearch(client, query, options);
  });
  return searches;
}

async function list({ json: asJson }: { readonly json?: boolean }): Promise<void> {
  const all = await call(openClient(openHome()).authority, listSavedSearches, {});
  if (asJson === true) return json(standardOutput, all);
  if (all.length === 0) {
    standardOutput.err.write('No searches are saved. `steno search --save NAME QUERY` saves one.\n');
    return;
  }
  table<SavedSearch>(standardOutput, all, [
    { title: 'ID', value: ({ id }) => id, style: () => 'dim' },
    { title: 'NAME', value: ({ name }) => name, style: () => 'bold' },
    { title: 'OWNER', value: ({ owner, shared }) => (shared ? `${owner}, shared` : owner) },
    { title: 'IN', value: ({ language }) => language, style: () => 'dim' },
    { title: 'EVERY', value: ({ every_ms: every }) => (every === null ? '' : formatDuration(every)) },
    {
      title: 'LAST RUN',
      value: ({ every_ms: every, ran_at: at, error }) =>
        error !== '' ? error : at !== null ? moment(at) : every === null ? '' : 'not yet',
      style: ({ error }) => (error === '' ? 'dim' : 'red'),
    },
    { title: 'TOLD', align: 'right', value: ({ every_ms: every, told }) => (every === null && told === 0 ? '' : String(told)) },
    { title: 'QUERY', value: ({ query }) => query.replace(/\s+/g, ' ').trim() },
  ]);
}
