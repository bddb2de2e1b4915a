/** The endpoints of the authority. */
import type { Endpoint } from '../endpoint/endpoint.js';
import { accessEndpoints } from './access/endpoints.js';
import { inventoryEndpoints } from './inventory/endpoints.js';
import { peopleEndpoints } from './people/endpoints.js';
import { servicesEndpoints } from './services/endpoints.js';

const declared = [...accessEndpoints, ...inventoryEndpoints, ...peopleEndpoints, ...servicesEndpoints] as const;

export type AuthorityEndpoint = (typeof declared)[number];
export const authorityEndpoints: readonly Endpoint[] = declared;
