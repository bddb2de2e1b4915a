/** Destinations of a SIEM, for the verbs on resources. */
import { deleteSiemDestination, listSiemDestinations, putSiemDestination } from '#schemas/api/detection/siem.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { SiemDocument } from '#schemas/documents/siem.js';
import { documentResources } from './documents.js';
import type { Resources } from './resource.js';

export const siemResources: Resources = documentResources<'siem', SiemDocument>({
  kind: 'siem',
  also: ['siems'],
  noun: 'SIEM destination',
  columns: [
    { title: 'NAME', value: ({ name }) => name, style: () => 'bold' },
    { title: 'FORMAT', value: ({ format }) => format },
    { title: 'TARGET', value: (one) => (one.format === 'ocsf' ? one.url : one.address) },
    { title: 'SENT', value: ({ send }) => send.join(',') },
    { title: 'FROM', value: ({ from }) => from },
  ],
  all: ({ authority }) => call(authority, listSiemDestinations, {}),
  put: ({ authority }, destination) => call(authority, putSiemDestination, { params: { name: destination.name }, body: destination }),
  remove: ({ authority }, name) => call(authority, deleteSiemDestination, { params: { name } }),
});
