/* What every customer has spent, in the transform's state. */
#ifndef TOTALS_H
#define TOTALS_H

#include "orders.h"

/* Names the state that counting a change will read: the order's share, and the total of its customer. */
void totals_ahead(const order_change *change, pelton_ahead *ahead);

/* Counts a change. */
pelton_result totals_count(const order_change *change, pelton_out *out);

#endif
