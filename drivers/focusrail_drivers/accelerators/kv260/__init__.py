"""The focus measure in the programmable logic of a Kria KV260, by the stock Composable Pipeline overlay."""
