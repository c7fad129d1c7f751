BEGIN TRANSACTION;
CREATE TABLE agentbench_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT agentbench_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "agentbench_schema" VALUES('0002');
CREATE TABLE attempts (
	id INTEGER NOT NULL, 
	run_id TEXT NOT NULL, 
	case_digest TEXT NOT NULL, 
	case_id TEXT NOT NULL, 
	cluster TEXT NOT NULL, 
	repeat BIGINT NOT NULL, 
	seed BIGINT NOT NULL, 
	tries BIGINT NOT NULL, 
	started_at BIGINT NOT NULL, 
	ended_at BIGINT NOT NULL, 
	wall_anchor_ns BIGINT NOT NULL, 
	output TEXT NOT NULL, 
	failure_kind TEXT, 
	failure_message TEXT, 
	failure_detail TEXT, 
	passed BOOLEAN, end_state TEXT DEFAULT 'null' NOT NULL, cold_start_ns BIGINT, 
	PRIMARY KEY (id), 
	CONSTRAINT attempts_run_case_repeat UNIQUE (run_id, case_id, repeat), 
	FOREIGN KEY(run_id) REFERENCES runs (id), 
	FOREIGN KEY(case_digest) REFERENCES cases (digest)
);
INSERT INTO "attempts" VALUES(1,'words-20261128-093210-eeaaa7','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',0,321278137,1,36317894749191,36317895661483,1795822012990056847,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(2,'words-20261128-093210-eeaaa7','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',1,1505507185,1,36317895192538,36317895952185,1795822012990056847,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(3,'words-20261128-093210-eeaaa7','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',1,1264389933,1,36317894975544,36317895817675,1795822012990056847,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(4,'words-20261128-093210-eeaaa7','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',0,389450772,1,36317894508573,36317895509570,1795822012990056847,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(5,'words-20261128-093210-eeaaa7','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',0,723075802,1,36317894864727,36317895737345,1795822012990056847,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(6,'words-20261128-093210-eeaaa7','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',1,2075788555,1,36317895082083,36317895886633,1795822012990056847,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(7,'words-20261128-093213-a3f7ea','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',0,321278137,1,36320938254983,36320938987109,1795822012990053770,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(8,'words-20261128-093213-a3f7ea','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',0,723075802,1,36320938404742,36320939063561,1795822012990053770,'no',NULL,NULL,NULL,0,'null',NULL);
INSERT INTO "attempts" VALUES(9,'words-20261128-093213-a3f7ea','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',1,1264389933,1,36320938516811,36320939135145,1795822012990053770,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(10,'words-20261128-093213-a3f7ea','7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right',0,389450772,1,36320938035624,36320938826810,1795822012990053770,'yes',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(11,'words-20261128-093213-a3f7ea','0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long',1,2075788555,1,36320938611798,36320939197160,1795822012990053770,'one two three four five',NULL,NULL,NULL,1,'null',NULL);
INSERT INTO "attempts" VALUES(12,'words-20261128-093213-a3f7ea','cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong',1,1505507185,1,36320938707337,36320939254387,1795822012990053770,'no',NULL,NULL,NULL,0,'null',NULL);
CREATE TABLE baselines (
	suite TEXT NOT NULL, 
	name TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (suite, name), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE cases (
	digest TEXT NOT NULL, 
	case_id TEXT NOT NULL, 
	cluster TEXT NOT NULL, 
	messages TEXT NOT NULL, 
	tools TEXT NOT NULL, 
	expected TEXT NOT NULL, 
	metadata TEXT NOT NULL, user_script TEXT DEFAULT '{}' NOT NULL, 
	PRIMARY KEY (digest)
);
INSERT INTO "cases" VALUES('0b4d2d1a34d2511e4da90dcfbc08a452c4c32e7edc2bc75b87f56ff8513857df','long','long','[{"role":"user","content":"A long answer."}]','[]','"one two three four five"','{}','{}');
INSERT INTO "cases" VALUES('cddac1155084399ebb54016c2a271dca8e00b7b55272a993dbdf360e53f05aa5','wrong','wrong','[{"role":"user","content":"Is this wrong?"}]','[]','"yes"','{}','{}');
INSERT INTO "cases" VALUES('7da1cad4240e23e12f518f43a3d204f6465efd801e46086df5f67b0e3137d1e9','right','right','[{"role":"user","content":"Is this right?"}]','[]','"yes"','{}','{}');
CREATE TABLE labels (
	run_id TEXT NOT NULL, 
	case_id TEXT NOT NULL, 
	repeat BIGINT NOT NULL, 
	reviewer TEXT NOT NULL, 
	passed BOOLEAN NOT NULL, 
	comment TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (run_id, case_id, repeat, reviewer), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE model_calls (
	attempt_id INTEGER NOT NULL, 
	position BIGINT NOT NULL, 
	messages TEXT NOT NULL, 
	request TEXT NOT NULL, 
	reply TEXT NOT NULL, 
	finish_reason TEXT, 
	intended_at BIGINT NOT NULL, 
	sent_at BIGINT NOT NULL, 
	ended_at BIGINT NOT NULL, 
	chunk_at TEXT NOT NULL, 
	chunk_tokens TEXT NOT NULL, 
	prompt_tokens BIGINT, 
	cached_tokens BIGINT, 
	completion_tokens BIGINT, 
	error TEXT, 
	PRIMARY KEY (attempt_id, position), 
	FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);
INSERT INTO "model_calls" VALUES(1,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":321278137}','{"role":"assistant","content":"one two three four five"}','stop',36317894800106,36317894800106,36317895637138,'[36317895629734,36317895633100,36317895633952,36317895634302,36317895634533]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(2,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":1505507185}','{"role":"assistant","content":"no"}','stop',36317895426004,36317895426004,36317895933891,'[36317895931667]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(3,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":1264389933}','{"role":"assistant","content":"yes"}','stop',36317895026860,36317895026860,36317895797497,'[36317895794762]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(4,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":389450772}','{"role":"assistant","content":"yes"}','stop',36317894653804,36317894653804,36317895465568,'[36317895460629]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(5,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":723075802}','{"role":"assistant","content":"no"}','stop',36317894915702,36317894915702,36317895717277,'[36317895714732]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(6,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":2075788555}','{"role":"assistant","content":"one two three four five"}','stop',36317895133759,36317895133759,36317895868730,'[36317895864652,36317895866105,36317895866475,36317895866706,36317895866906]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(7,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":321278137}','{"role":"assistant","content":"one two three four five"}','stop',36320938320735,36320938320735,36320938959707,'[36320938953125,36320938955540,36320938956091,36320938956341,36320938956521]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(8,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":723075802}','{"role":"assistant","content":"no"}','stop',36320938457551,36320938457551,36320939045017,'[36320939042722]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(9,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":1264389933}','{"role":"assistant","content":"yes"}','stop',36320938561485,36320938561485,36320939117492,'[36320939115188]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(10,0,'[{"role":"user","content":"Is this right?"}]','{"model":"scripted","seed":389450772}','{"role":"assistant","content":"yes"}','stop',36320938155037,36320938155037,36320938784641,'[36320938780052]','[1]',3,NULL,1,NULL);
INSERT INTO "model_calls" VALUES(11,0,'[{"role":"user","content":"A long answer."}]','{"model":"scripted","seed":2075788555}','{"role":"assistant","content":"one two three four five"}','stop',36320938656512,36320938656512,36320939181581,'[36320939177774,36320939178916,36320939179277,36320939179487,36320939179658]','[1,1,1,1,1]',3,NULL,5,NULL);
INSERT INTO "model_calls" VALUES(12,0,'[{"role":"user","content":"Is this wrong?"}]','{"model":"scripted","seed":1505507185}','{"role":"assistant","content":"no"}','stop',36320938747191,36320938747191,36320939238658,'[36320939236754]','[1]',3,NULL,1,NULL);
CREATE TABLE runs (
	id TEXT NOT NULL, 
	suite TEXT NOT NULL, 
	suite_version TEXT NOT NULL, 
	suite_path TEXT NOT NULL, 
	suite_hash TEXT NOT NULL, 
	config TEXT NOT NULL, 
	config_hash TEXT NOT NULL, 
	case_ids TEXT NOT NULL, 
	repeats BIGINT NOT NULL, 
	label TEXT NOT NULL, 
	environment TEXT NOT NULL, 
	status TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES('words-20261128-093210-eeaaa7','words','1','words/suite.yaml','8838ce80877781432ee5472055a9cdcb757f9d3db602828cffeabd0d42a6b86f','{"agent":{"name":"chat","temperature":0,"max_tokens":32},"serving":{"server":"bundled"},"backend":{"name":"scripted","replies":[{"when":"right","content":"yes"},{"when":"long","content":"one two three four five"}],"default":"no"},"run":{"repeats":2,"concurrency":16,"timeout_s":300.0,"max_tries":1,"backoff_s":0.5,"seed":0,"limits":{"model_calls":null,"tool_calls":null,"tokens":null,"seconds":null},"limit":null,"sample_seed":0}}','4bbde7282e041944974ebce399612f13726e2f20559866528cce6ee975157d96','["right","long","wrong"]',2,'first','{"git_commit":"","git_branch":"","git_dirty":false,"python":"3.11.7","platform":"Linux-6.18.44-fc-v595-x86_64-with-glibc2.36","cpu":"AMD EPYC","cpus":2,"host":"here","pid":19862,"versions":{"agentbench":"0.1.0","torch":"2.13.0+cpu","openai":"3.54.0","llguidance":"1.9.1"},"objectives":{"ttft":2.0,"tpot":0.2},"mode":"strict","gate":{},"server":{}}','finished','2026-11-28 09:32:10.772083','2026-11-28 09:32:10.917276');
INSERT INTO "runs" VALUES('words-20261128-093213-a3f7ea','words','1','words/suite.yaml','8838ce80877781432ee5472055a9cdcb757f9d3db602828cffeabd0d42a6b86f','{"agent":{"name":"chat","temperature":0,"max_tokens":8},"serving":{"server":"bundled"},"backend":{"name":"scripted","replies":[{"when":"right","content":"yes"},{"when":"long","content":"one two three four five"}],"default":"no"},"run":{"repeats":2,"concurrency":16,"timeout_s":300.0,"max_tries":1,"backoff_s":0.5,"seed":0,"limits":{"model_calls":null,"tool_calls":null,"tokens":null,"seconds":null},"limit":null,"sample_seed":0}}','1efd5738b2ff6b676cb2579ea67de5ed2f83adbeb6b81eef4b4781a754b7e420','["right","long","wrong"]',2,'second','{"git_commit":"","git_branch":"","git_dirty":false,"python":"3.11.7","platform":"Linux-6.18.44-fc-v595-x86_64-with-glibc2.36","cpu":"AMD EPYC","cpus":2,"host":"here","pid":19911,"versions":{"agentbench":"0.1.0","torch":"2.13.0+cpu","openai":"3.54.0","llguidance":"1.9.1"},"objectives":{"ttft":2.0,"tpot":0.2},"mode":"strict","gate":{},"server":{}}','finished','2026-11-28 09:32:13.796517','2026-11-28 09:32:13.952903');
CREATE TABLE "scores" (
	attempt_id INTEGER NOT NULL, 
	position BIGINT NOT NULL, 
	name TEXT NOT NULL, 
	value DOUBLE NOT NULL, 
	passed BOOLEAN, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (attempt_id, position), 
	FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);
INSERT INTO "scores" VALUES(1,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(2,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(3,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(4,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(5,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(6,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(7,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(8,0,'exact',0.0,0,'expected ''yes'', got ''no''');
INSERT INTO "scores" VALUES(9,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(10,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(11,0,'exact',1.0,1,'equal');
INSERT INTO "scores" VALUES(12,0,'exact',0.0,0,'expected ''yes'', got ''no''');
CREATE TABLE tool_calls (
	attempt_id INTEGER NOT NULL, 
	position BIGINT NOT NULL, 
	call_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	arguments TEXT NOT NULL, 
	started_at BIGINT NOT NULL, 
	ended_at BIGINT NOT NULL, 
	executed BOOLEAN NOT NULL, 
	result TEXT, 
	error TEXT, 
	PRIMARY KEY (attempt_id, position), 
	FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);
CREATE TABLE user_turns (
	attempt_id INTEGER NOT NULL, 
	position BIGINT NOT NULL, 
	messages TEXT NOT NULL, 
	state TEXT NOT NULL, 
	started_at BIGINT NOT NULL, 
	ended_at BIGINT NOT NULL, 
	PRIMARY KEY (attempt_id, position), 
	FOREIGN KEY(attempt_id) REFERENCES attempts (id)
);
CREATE INDEX ix_runs_label ON runs (label);
CREATE INDEX ix_runs_created_at ON runs (created_at);
COMMIT;
