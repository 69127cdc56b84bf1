// The simplest durable handler: it reads an order and answers with the invoice.
import * as restate from "@restatedev/restate-sdk";

const orders = restate.service({
  name: "orders",
  handlers: {
    invoice: async (_, order) => ({
      order: order.id,
      customer: order.customer,
      cents: order.lines.reduce((sum, line) => sum + line.count * line.cents, 0),
    }),
  },
});

restate.endpoint().setLogger(() => {}).bind(orders).listen(Number(process.argv[2]));
