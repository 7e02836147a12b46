"""Run llama.cpp's HTTP server from the wheel `xllamacpp` until it is killed; prints its address when it listens.

python tests/live/llama_server.py MODEL.gguf [--pooling mean] [--parallel 1] [--no-embeddings]
"""

import argparse
import threading

import xllamacpp

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model")
parser.add_argument("--pooling", default="mean")
parser.add_argument("--parallel", type=int, default=1)
parser.add_argument("--no-embeddings", action="store_true")
arguments = parser.parse_args()
parameters = xllamacpp.CommonParams()
parameters.model.path = arguments.model
parameters.embedding = not arguments.no_embeddings
parameters.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{arguments.pooling.upper()}")
parameters.n_parallel = arguments.parallel
parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 512 * arguments.parallel
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 2
parameters.port = 0
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
threading.Event().wait()
