/* Runs before the page's other modules are there: what they show first is then on its way. */

import { readAhead, takeKey } from "./manager_api.js";
import { state } from "./url_state.js";

if (takeKey()) readAhead(state.agent, state.window);
