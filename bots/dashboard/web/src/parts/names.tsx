// Homes and providers by the names that people give them; their ids stand in the tip.

import { beat, homes, providers } from '../live/store.js';

/** A home by its name, or by its id as long as nobody has told it. */
export function HomeLink({ id }: { id: string }) {
  beat.value;
  const name = homes.get(id)?.name;
  return (
    <a href={`/homes/${id}`} title={id}>
      {name || id}
    </a>
  );
}

/** A provider by its name, or by its id as long as nobody has told it. */
export function ProviderLink({ id }: { id: string }) {
  return (
    <a href={`/providers/${id}`} title={id}>
      {providers.value.get(id) ?? id}
    </a>
  );
}
